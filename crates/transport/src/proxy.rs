//! An HTTP proxy behind the dial seam: which origins go through it, and the tunnel that CONNECT opens.

mod bypass;
mod tunnel;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use secrecy::SecretString;
use trunkline_core_types::{AttemptError, BoxFuture, InputError, Origin, is_loopback};
use zeroize::Zeroizing;

use crate::{Dial, Wire};
use bypass::Bypass;

/// Which origins are reached through which proxy. Nothing reads the environment by itself: [`ProxySettings::from_env`] does.
///
/// The proxy is spoken to in plain HTTP and sees host and port of the origin, never a request: TLS runs end to end inside the tunnel.
/// Origins on this machine, the only ones that plain http is allowed for, never go through a proxy.
///
/// ```
/// # use trunkline_transport::ProxySettings;
/// let settings = ProxySettings::new("http://user:pass@proxy.example.com:3128")?.except("10.0.0.0/8, .internal.example.com")?;
/// assert!(settings.applies_to(&"https://voice.example.com".parse()?));
/// assert!(!settings.applies_to(&"https://pbx.internal.example.com".parse()?));
/// # Ok::<(), trunkline_core_types::InputError>(())
/// ```
#[derive(Clone, Default)]
pub struct ProxySettings {
    proxy: Option<Arc<Proxy>>,
    bypass: Bypass,
}

struct Proxy {
    /// A dialler reads host and port of it; the scheme means nothing here.
    at: Origin,
    /// The value of `Proxy-Authorization`.
    credentials: Option<SecretString>,
}

impl ProxySettings {
    /// Every origin but this machine through the proxy at `url`: `http://[user:password@]host[:port]`, port 80 if none is named, user and
    /// password percent-encoded.
    ///
    /// # Errors
    /// [`InputError`] on `proxy`, which never repeats the URL. Proxies spoken to over TLS or SOCKS are refused.
    pub fn new(url: &str) -> Result<Self, InputError> {
        Ok(Self { proxy: Some(Arc::new(parse("proxy", url)?)), bypass: Bypass::default() })
    }

    /// What the environment says: the proxy of `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY` or `all_proxy`, the first that is set and not
    /// empty, and the exceptions of `NO_PROXY` or `no_proxy`. `HTTP_PROXY` is not read, since plain http goes to this machine only.
    /// Without any of them: no proxy.
    ///
    /// # Errors
    /// [`InputError`] naming the variable, never its value.
    pub fn from_env() -> Result<Self, InputError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same from another source of variables.
    ///
    /// # Errors
    /// As [`ProxySettings::from_env`].
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, InputError> {
        let set = |name: &&'static str| {
            let value = Zeroizing::new(get(name)?);
            (!value.trim().is_empty()).then_some((*name, value))
        };
        let first = |names: &[&'static str]| names.iter().find_map(set);
        let proxy = match first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) {
            Some((name, url)) => Some(Arc::new(parse(name, &url)?)),
            None => None,
        };
        let bypass = match first(&["NO_PROXY", "no_proxy"]) {
            Some((name, list)) => Bypass::parse(name, &list)?,
            None => Bypass::default(),
        };
        Ok(Self { proxy, bypass })
    }

    /// Leaves these out, separated by commas: `example.com` (it and every name below it), `.example.com` or `*.example.com` (names below it),
    /// an address, a network (`10.0.0.0/8`), each but the network also with `:port`, or `*` for all.
    ///
    /// # Errors
    /// [`InputError`] on `no_proxy` if an entry is none of these.
    pub fn except(mut self, list: &str) -> Result<Self, InputError> {
        self.bypass = Bypass::parse("no_proxy", list)?;
        Ok(self)
    }

    /// Whether this origin is reached through the proxy.
    pub fn applies_to(&self, origin: &Origin) -> bool {
        self.for_origin(origin).is_some()
    }

    fn for_origin(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        // An origin over plain http is always this machine.
        let direct = is_loopback(origin.host()) || self.bypass.covers(origin);
        self.proxy.as_ref().filter(|_| !direct)
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings").field("proxy", &self.proxy).field("except", &self.bypass).finish()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = self.credentials.as_ref().map(|_| "REDACTED");
        f.debug_struct("Proxy").field("host", &self.at.host()).field("credentials", &credentials).finish()
    }
}

/// Connects through a proxy where the settings say so, and otherwise as the dialler it wraps, which also reaches the proxy.
///
/// A tunnel that is not opened is `Connect` (or what the inner dialler says), so the attempt is `Unsent`: what goes to the proxy before it is
/// no byte of a request. The time is the caller's connect time.
#[derive(Debug)]
pub struct ProxyDial {
    settings: ProxySettings,
    inner: Arc<dyn Dial>,
}

impl ProxyDial {
    /// A dialler that goes through the settings' proxy; `inner` connects to proxy and unproxied origins alike, usually
    /// [`TcpDial`](crate::TcpDial).
    pub fn new(settings: ProxySettings, inner: Arc<dyn Dial>) -> Self {
        Self { settings, inner }
    }
}

impl Dial for ProxyDial {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        match self.settings.for_origin(origin) {
            None => self.inner.connect(origin),
            Some(proxy) => Box::pin(async move {
                let wire = self.inner.connect(&proxy.at).await.map_err(|error| not_reached(proxy, error))?;
                tunnel::open(wire, proxy.at.host(), proxy.credentials.as_ref(), origin).await
            }),
        }
    }
}

fn not_reached(proxy: &Proxy, error: AttemptError) -> AttemptError {
    let message =
        format!("no connection to the proxy {}; check the proxy's URL and that it runs", proxy.at.host());
    AttemptError::new(error.kind(), message).with_source(error)
}

fn parse(field: &'static str, url: &str) -> Result<Proxy, InputError> {
    let bad = |problem: &str| InputError::new(field, problem);
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(bad("must be an http:// URL; proxies over TLS or SOCKS are not supported"));
    }
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let named = host.parse::<Uri>().ok().and_then(|uri| uri.into_parts().authority);
    let port = match named.as_ref().map(|authority| (authority.port_u16(), host.ends_with(':'))) {
        Some((Some(port), _)) => port,
        Some((None, false)) if !has_port(host) => 80,
        _ => {
            return Err(bad(
                "must name a host and a port from 1 to 65535, as in http://proxy.example.com:3128",
            ));
        }
    };
    let host = named.as_ref().map_or("", |authority| authority.host());
    let at = format!("https://{host}:{port}").parse().map_err(|_| bad("the host cannot be connected to"))?;
    let credentials =
        user.map(|user| basic(user).ok_or_else(|| bad("user or password is not percent-encoded text")));
    Ok(Proxy { at, credentials: credentials.transpose()? })
}

/// Whether something stands where a port would.
fn has_port(host: &str) -> bool {
    host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':')
}

/// The header's value from `user:password`, both percent-encoded; `None` if they cannot be told apart or read.
fn basic(user_info: &str) -> Option<SecretString> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut pair = Zeroizing::new(Vec::new());
    percent_decode(user, &mut pair)?;
    if pair.contains(&b':') {
        return None;
    }
    pair.push(b':');
    percent_decode(password, &mut pair)?;
    let encoded = Zeroizing::new(STANDARD.encode(&*pair));
    Some(format!("Basic {}", *encoded).into())
}

fn percent_decode(text: &str, into: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let decoded = match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            plain => plain,
        };
        into.push(decoded);
    }
    Some(())
}

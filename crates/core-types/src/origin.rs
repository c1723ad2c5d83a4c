//! Where requests go: scheme, host and port, checked once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::InputError;

/// Scheme, host and port of a base URL: https, or http on loopback only.
///
/// ```
/// # use trunkline_core_types::Origin;
/// let origin: Origin = "https://voice.example.com/prefix/v1".parse()?;
/// assert_eq!((origin.host(), origin.port()), ("voice.example.com", 443));
/// assert!("http://voice.example.com".parse::<Origin>().is_err());
/// # Ok::<(), trunkline_core_types::InputError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
    /// Host and port as they are usually written: one look at it tells that a URL is ours.
    authority: Arc<str>,
}

impl Origin {
    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, lower case; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` header: the port is left out where it is the scheme's own.
    pub fn authority(&self) -> String {
        self.authority.to_string()
    }

    /// Whether a request's URL goes to this origin.
    pub fn serves(&self, uri: &Uri) -> bool {
        let scheme = if self.https { Scheme::HTTPS } else { Scheme::HTTP };
        uri.scheme() == Some(&scheme)
            && uri
                .authority()
                .is_some_and(|authority| authority.as_str() == &*self.authority || self.same_place(authority))
    }

    /// The same host and port in another spelling.
    fn same_place(&self, authority: &Authority) -> bool {
        authority.host().eq_ignore_ascii_case(&self.host) && self.same_port(authority)
    }

    fn same_port(&self, authority: &Authority) -> bool {
        let port = named_port(authority).map(|port| port.unwrap_or(default_port(self.https)));
        port == Ok(self.port) && !authority.as_str().contains('@')
    }
}

/// The port that an authority names; `Err` if what stands there is no port.
fn named_port(authority: &Authority) -> Result<Option<u16>, ()> {
    let after_host = authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest);
    match authority.port_u16() {
        Some(port) => Ok(Some(port)),
        None if after_host.contains(':') => Err(()),
        None => Ok(None),
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl FromStr for Origin {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let bad = |problem: &str| Err(InputError::new("base_url", problem));
        let Ok(uri) = text.parse::<Uri>() else {
            return bad("not a URL; write scheme and host, such as https://voice.example.com");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return bad("not absolute; begin with https:// and a host");
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return bad("must name a host and hold no user name or password; keys are configured apart");
        }
        let https = match scheme {
            "https" => true,
            "http" if crate::is_loopback(authority.host()) => false,
            "http" => {
                return bad("plain http is allowed only for loopback, because keys travel in it; use https");
            }
            _ => return bad("the scheme must be https"),
        };
        let port = match named_port(authority) {
            Ok(Some(0)) => return bad("port 0 cannot be connected to"),
            Ok(port) => port.unwrap_or(default_port(https)),
            Err(()) => return bad("the port must be a number from 1 to 65535"),
        };
        let host = authority.host().to_ascii_lowercase();
        let authority = if port == default_port(https) { host.clone() } else { format!("{host}:{port}") };
        Ok(Self { https, host: host.into(), port, authority: authority.into() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Whether a host is this machine itself: `localhost`, 127.0.0.0/8 or `[::1]`.
///
/// ```
/// # use trunkline_core_types::is_loopback;
/// assert!(is_loopback("127.0.0.1") && is_loopback("[::1]") && !is_loopback("127.0.0.1.example.com"));
/// ```
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base_urls_that_are_refused() {
        for bad in [
            "",
            "/v1",
            "voice.example.com",
            "http://voice.example.com",
            "ftp://x.example",
            "https://u:p@x.example",
            "https://x.example:0",
            "https://x.example:",
        ] {
            let refused = bad.parse::<Origin>();
            assert!(refused.is_err_and(|error| error.field() == "base_url"), "{bad}");
        }
    }

    #[test]
    fn an_origin_serves_its_own_urls_only() {
        let origin: Origin = "https://Voice.Example.com/v1".parse().unwrap();
        assert_eq!(origin.to_string(), "https://voice.example.com");
        for (url, want) in [
            ("https://voice.example.com/v1/calls?x=1", true),
            ("https://VOICE.example.com:443/", true),
            ("https://voice.example.com:444/", false),
            ("https://voice.example.com:99999/", false),
            ("https://voice.example.com:/", false),
            ("http://voice.example.com/", false),
            ("https://voice.example.com.evil.example/", false),
            ("https://voice.example.com@evil.example/", false),
            ("https://evil@voice.example.com/", false),
            ("/v1/calls", false),
        ] {
            assert_eq!(origin.serves(&url.parse().unwrap()), want, "{url}");
        }
        let ipv6: Origin = "http://[::1]:8080".parse().unwrap();
        assert_eq!((ipv6.host(), ipv6.port(), ipv6.authority().as_str()), ("[::1]", 8080, "[::1]:8080"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_origins_survive_their_text(text in "(https?://)?\\PC{0,40}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
            }
        }
    }
}

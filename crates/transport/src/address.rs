//! Public addresses only: for URLs that somebody else wrote into a reply or a callback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use trunkline_core_types::{AttemptError, BoxFuture, FailureKind, InputError, Origin};

use crate::{Dial, Resolve, SystemResolve, Wire};

/// Whether an address is reached over the public internet and is nobody's inside.
///
/// False for this machine, private and link-local networks, carrier NAT, multicast, documentation, benchmarking and reserved ranges, the
/// metadata services of clouds (169.254.169.254, fd00:ec2::254, 168.63.129.16), IPv4 written as IPv6, and tunnels into IPv4 (NAT64,
/// 6to4, Teredo), except NAT64 to a public address. After the IANA special-purpose registries, read 2026-11-24.
///
/// ```
/// # use trunkline_transport::is_public;
/// assert!(is_public("8.8.8.8".parse()?) && !is_public("10.0.0.1".parse()?) && !is_public("::ffff:8.8.8.8".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Network and prefix length.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's wire server: a public address that each of its machines reaches inside.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Inside 2000::/3, outside of which nothing is public.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    // Protocol assignments, Teredo and benchmarking among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let inside =
        |(network, prefix): (Ipv4Addr, u32)| (address.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0;
    !NOT_PUBLIC_V4.into_iter().any(inside)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let inside =
        |network: Ipv6Addr, prefix: u32| (address.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0;
    if inside(NAT64, 96) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let global = address.segments()[0] >> 13 == 1;
    global && !NOT_PUBLIC_V6.into_iter().any(|(network, prefix)| inside(network, prefix))
}

/// The origin of a URL out of a reply or a callback, if it may be public: https, a host with a public address or a name that is not
/// reserved for local use.
///
/// Addresses in decimal, octal, hexadecimal or short form are refused, since readers of them differ. A name can still resolve to an inside
/// address: connect through [`PublicOnly`], which looks. Pure. Nothing in this workspace follows such URLs yet; it is here for recordings.
///
/// # Errors
/// [`InputError`] on `url`; it does not repeat the URL.
///
/// ```
/// # use trunkline_transport::public_address_only;
/// assert!(public_address_only("https://media.example.com/r/1.mp3?sig=x").is_ok());
/// assert!(public_address_only("https://169.254.169.254/latest/meta-data/").is_err());
/// assert!(public_address_only("https://2130706433/").is_err());
/// ```
pub fn public_address_only(url: &str) -> Result<Origin, InputError> {
    let origin: Origin = url.parse().map_err(|_: InputError| {
        InputError::new(
            "url",
            "not an absolute https URL with a host and without user name; it is not followed",
        )
    })?;
    match origin.is_https() {
        true => check_host(origin.host()).map(|()| origin).map_err(|problem| InputError::new("url", problem)),
        false => Err(InputError::new("url", "must be https; it is not followed")),
    }
}

const INSIDE: &str = "the host is not a public address; it is not followed";

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let public = address.parse::<Ipv6Addr>().is_ok_and(is_public_v6);
        return if public { Ok(()) } else { Err(INSIDE) };
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if number {
        return match name.parse::<Ipv4Addr>() {
            Ok(address) if is_public_v4(address) => Ok(()),
            Ok(_) => Err(INSIDE),
            Err(_) => Err("the host is a number that is no address in its usual form; it is not followed"),
        };
    }
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !plain || name.starts_with('.') || name.contains("..") {
        return Err("the host is neither a DNS name nor an address; it is not followed");
    }
    match is_local_name(&name) {
        true => Err("the host is a name of the local network; it is not followed"),
        false => Ok(()),
    }
}

/// Single labels, and what is reserved for use inside.
fn is_local_name(name: &str) -> bool {
    const LOCAL: [&str; 6] = [".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".lan"];
    !name.contains('.') || LOCAL.iter().any(|suffix| name.ends_with(suffix))
}

/// Connects to public addresses only: resolves the name once, refuses if any of its addresses is not public, and has the inner dialler
/// connect to the very addresses that were checked, so that a name that changes in between (DNS rebinding) does not pass.
///
/// A refusal is a `Request` failure, which is not repeated. TLS still verifies the name. Over a [`ProxyDial`](crate::ProxyDial) the proxy is
/// asked for the checked address. Nothing in this workspace dials through it yet; it is here for recordings.
#[derive(Debug)]
pub struct PublicOnly {
    inner: Arc<dyn Dial>,
    resolve: Arc<dyn Resolve>,
}

impl PublicOnly {
    /// A guard before `inner`, with the machine's resolver.
    pub fn new(inner: Arc<dyn Dial>) -> Self {
        Self::with_resolver(inner, Arc::new(SystemResolve::new()))
    }

    /// The same with another resolver.
    pub fn with_resolver(inner: Arc<dyn Dial>, resolve: Arc<dyn Resolve>) -> Self {
        Self { inner, resolve }
    }

    async fn checked(&self, origin: &Origin) -> Result<Box<dyn Wire>, AttemptError> {
        let refused = |problem: &'static str| AttemptError::new(FailureKind::Request, problem);
        check_host(origin.host()).map_err(refused)?;
        let bare = origin.host().trim_matches(['[', ']']);
        let addresses = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolve.resolve(bare).await?,
        };
        if !addresses.iter().all(|address| is_public(*address)) {
            return Err(refused(
                "the host's name leads to an address that is not public; it is not followed",
            ));
        }
        let mut last = AttemptError::new(FailureKind::Resolve, "the host's name has no address");
        for address in addresses {
            match self.inner.connect(&at(address, origin.port())?).await {
                Ok(wire) => return Ok(wire),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A dialler reads host and port of an origin; the scheme means nothing here.
fn at(address: IpAddr, port: u16) -> Result<Origin, AttemptError> {
    format!("https://{}", SocketAddr::new(address, port))
        .parse()
        .map_err(|_| AttemptError::new(FailureKind::Request, "the address cannot be connected to"))
}

impl Dial for PublicOnly {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(self.checked(origin))
    }
}

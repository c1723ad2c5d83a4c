//! The exceptions of a proxy: what `NO_PROXY` says.

use std::net::IpAddr;

use trunkline_core_types::{InputError, Origin};

/// Longest list that is read, in entries.
const MAX_ENTRIES: usize = 1_000;

/// Origins that are reached directly.
#[derive(Debug, Clone, Default)]
pub(super) struct Bypass(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    All,
    /// The name itself, unless only what is below it was meant, and every name below it.
    Name {
        name: String,
        below_only: bool,
        port: Option<u16>,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    Network {
        address: IpAddr,
        prefix: u32,
    },
}

impl Bypass {
    pub(super) fn parse(field: &'static str, list: &str) -> Result<Self, InputError> {
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()).map(|text| {
            Entry::parse(text).ok_or_else(|| {
                InputError::new(
                    field,
                    "has an entry that is no name, address, network such as 10.0.0.0/8, or *; write them separated by commas",
                )
            })
        });
        let entries = entries.take(MAX_ENTRIES + 1).collect::<Result<Vec<_>, _>>()?;
        if entries.len() > MAX_ENTRIES {
            return Err(InputError::new(
                field,
                format!("has more than {MAX_ENTRIES} entries; use networks or suffixes"),
            ));
        }
        Ok(Self(entries))
    }

    pub(super) fn covers(&self, origin: &Origin) -> bool {
        let host = origin.host().trim_matches(['[', ']']).trim_end_matches('.');
        let address = host.parse::<IpAddr>().ok();
        self.0.iter().any(|entry| entry.covers(host, address, origin.port()))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse().ok()?);
            return (prefix <= bits(address)).then_some(Self::Network { address, prefix });
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Some(Self::Address { address, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Self::Address { address, port });
        }
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        let name = below.unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
        good.then_some(Self::Name { name, below_only: below.is_some(), port })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, to: u16) -> bool {
        match self {
            Self::All => true,
            Self::Address { address: one, port } => {
                address == Some(*one) && port.is_none_or(|port| port == to)
            }
            Self::Network { address: network, prefix } => {
                address.is_some_and(|address| same_network(address, *network, *prefix))
            }
            Self::Name { name, below_only, port } => {
                let rest = host.strip_suffix(name.as_str()).filter(|_| address.is_none());
                let named = rest.is_some_and(|rest| rest.ends_with('.') || (rest.is_empty() && !below_only));
                named && port.is_none_or(|port| port == to)
            }
        }
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_network(one: IpAddr, other: IpAddr, prefix: u32) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()),
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differ.checked_shr(bits(one) - prefix).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(list: &str, url: &str) -> bool {
        Bypass::parse("NO_PROXY", list).unwrap().covers(&url.parse().unwrap())
    }

    #[test]
    fn the_table_of_matches() {
        let table = [
            ("", "https://example.com", false),
            ("*", "https://example.com", true),
            ("example.com", "https://example.com", true),
            ("example.com", "https://EXAMPLE.com", true),
            ("EXAMPLE.com.", "https://example.com", true),
            ("example.com", "https://a.b.example.com", true),
            ("example.com", "https://notexample.com", false),
            ("example.com", "https://example.com.evil.org", false),
            (".example.com", "https://a.example.com", true),
            (".example.com", "https://example.com", false),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "https://example.com", false),
            ("example.com:8443", "https://example.com:8443", true),
            ("example.com:8443", "https://a.example.com:8443", true),
            ("example.com:8443", "https://example.com", false),
            ("example.com:443", "https://example.com", true),
            ("a.org, example.com ,b.org", "https://example.com", true),
            ("a.org b.org", "https://b.org", true),
            (",,", "https://example.com", false),
            ("192.0.2.7", "https://192.0.2.7", true),
            ("192.0.2.7", "https://192.0.2.8", false),
            ("192.0.2.7:8443", "https://192.0.2.7", false),
            ("192.0.2.7:8443", "https://192.0.2.7:8443", true),
            ("192.0.2.0/24", "https://192.0.2.200", true),
            ("192.0.2.0/24", "https://192.0.3.1", false),
            ("0.0.0.0/0", "https://192.0.3.1", true),
            ("0.0.0.0/0", "https://[2001:db8::1]", false),
            ("192.0.2.7/32", "https://192.0.2.7", true),
            ("2001:db8::1", "https://[2001:db8::1]", true),
            ("[2001:db8::1]", "https://[2001:DB8:0::1]", true),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443", true),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]", false),
            ("2001:db8::/32", "https://[2001:db8:ff::1]", true),
            ("2001:db8::/32", "https://[2001:db9::1]", false),
            ("::/0", "https://[2001:db9::1]", true),
            ("2.7", "https://192.0.2.7", false),
        ];
        for (list, url, want) in table {
            assert_eq!(covers(list, url), want, "{list:?} {url}");
        }
    }

    #[test]
    fn entries_that_are_nothing_are_refused() {
        for bad in [
            "10.0.0.0/33",
            "example.com/8",
            "http://example.com",
            "example.com:0",
            "example.com:x",
            ".",
            "a*b",
            "::1/129",
        ] {
            let refused = Bypass::parse("NO_PROXY", bad);
            assert!(refused.is_err_and(|error| error.field() == "NO_PROXY"), "{bad}");
        }
        let long = "a,".repeat(MAX_ENTRIES + 1);
        assert!(Bypass::parse("no_proxy", &long).is_err());
    }

    proptest! {
        #[test]
        fn a_network_covers_exactly_what_shares_its_prefix(one: u32, other: u32, prefix in 0u32..=32) {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            let (one, other) = (std::net::Ipv4Addr::from(one), std::net::Ipv4Addr::from(other));
            let want = one.to_bits() & mask == other.to_bits() & mask;
            prop_assert_eq!(covers(&format!("{one}/{prefix}"), &format!("https://{other}")), want);
        }

        #[test]
        fn no_list_panics(list in "\\PC{0,60}") {
            let _ = Bypass::parse("NO_PROXY", &list);
        }
    }
}

//! The account: which keys and networks it accepts. Checks run in this order: network, API key, signature.

use std::fmt;
use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

use crate::reply::Refusal;
use crate::signature;

/// An API key and the signing secret that rotates with it. `Debug` shows neither.
#[derive(Clone)]
pub(crate) struct KeyPair {
    pub(crate) api_key: String,
    pub(crate) secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair([hidden])")
    }
}

/// What an account accepts.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) pairs: Vec<KeyPair>,
    pub(crate) signature_required: bool,
    /// Empty: every network.
    pub(crate) networks: Vec<IpAddr>,
}

/// Why a request was turned away, so that the book can tell the cases apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Network,
    ApiKey,
    Signature,
}

impl Account {
    /// True if the request carried a right signature, false if it carried none and needs none.
    pub(crate) fn admit(&self, peer: IpAddr, headers: &HeaderMap, body: &[u8]) -> Result<bool, Denial> {
        if !self.networks.is_empty() && !self.networks.contains(&peer.to_canonical()) {
            return Err(Denial::Network);
        }
        if !self.knows_bearer(headers) {
            return Err(Denial::ApiKey);
        }
        let mut signatures = headers.get_all("x-signature").iter();
        match (signatures.next(), signatures.next()) {
            (None, _) if self.signature_required => Err(Denial::Signature),
            (None, _) => Ok(false),
            (Some(header), None) if self.signed(body, header.as_bytes()) => Ok(true),
            _ => Err(Denial::Signature),
        }
    }

    fn knows_bearer(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(7) else { return false };
        let known = |pair: &KeyPair| bool::from(pair.api_key.as_bytes().ct_eq(token));
        scheme.eq_ignore_ascii_case(b"bearer ") && self.pairs.iter().any(known)
    }

    fn signed(&self, body: &[u8], header: &[u8]) -> bool {
        self.pairs.iter().any(|pair| signature::verify(&pair.secret, body, header))
    }
}

impl Denial {
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Network => {
                Refusal::new(StatusCode::FORBIDDEN, "permission", "this address is not on the account's list")
            }
            Self::ApiKey => Refusal::authentication("the API key is missing, doubled or unknown"),
            Self::Signature => Refusal::authentication("X-Signature is missing, doubled or wrong"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    // From the vectors: empty body under test-secret-0001.
    const EMPTY_SIGNED: &str = "sha256=d0632805491b6be7d4af3728b329c6116c7eb2df0dd49100b0d9f7bd99af1480";

    fn account(signature_required: bool) -> Account {
        let pair = |key: &str, secret: &str| KeyPair { api_key: key.into(), secret: secret.into() };
        Account {
            pairs: vec![pair("new", "other"), pair("old", "test-secret-0001")],
            signature_required,
            networks: Vec::new(),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn both_keys_of_a_rotation_are_accepted() {
        for bearer in ["Bearer new", "bearer old"] {
            assert_eq!(account(false).admit(HERE, &headers(&[("authorization", bearer)]), b"x"), Ok(false));
        }
    }

    #[test]
    fn other_keys_are_refused() {
        let cases: [&[(&str, &str)]; 7] = [
            &[],
            &[("authorization", "Bearer ne")],
            &[("authorization", "Bearer newer")],
            &[("authorization", "Bearer  new")],
            &[("authorization", "Basic new")],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer new"), ("authorization", "Bearer old")],
        ];
        for case in cases {
            assert_eq!(account(false).admit(HERE, &headers(case), b""), Err(Denial::ApiKey), "{case:?}");
        }
    }

    #[test]
    fn a_signature_is_checked_when_present_or_required() {
        let bearer = ("authorization", "Bearer new");
        let signed = headers(&[bearer, ("x-signature", EMPTY_SIGNED)]);
        assert_eq!(account(true).admit(HERE, &signed, b""), Ok(true));
        assert_eq!(account(false).admit(HERE, &signed, b" "), Err(Denial::Signature));
        assert_eq!(account(true).admit(HERE, &headers(&[bearer]), b""), Err(Denial::Signature));
        let twice = headers(&[bearer, ("x-signature", EMPTY_SIGNED), ("x-signature", EMPTY_SIGNED)]);
        assert_eq!(account(false).admit(HERE, &twice, b""), Err(Denial::Signature));
    }

    #[test]
    fn a_list_of_networks_keeps_others_out() {
        let mut account = account(false);
        account.networks.push(IpAddr::from([10, 0, 0, 1]));
        let known = headers(&[("authorization", "Bearer new")]);
        assert_eq!(account.admit(HERE, &known, b""), Err(Denial::Network));
        account.networks.push(HERE);
        assert_eq!(account.admit(HERE, &known, b""), Ok(false));
    }

    #[test]
    fn debug_hides_the_keys() {
        assert!(!format!("{:?}", account(true)).contains("test-secret"));
    }
}

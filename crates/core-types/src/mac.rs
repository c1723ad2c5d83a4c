//! HMAC-SHA256 over a body, and the `X-Signature` header made of it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A secret, keyed once: signing copies the state instead of hashing the secret again.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

/// `sha256=` and 64 digits.
const LENGTH: usize = 71;

impl MacKey {
    /// Keys the MAC with the secret's bytes as they are. An empty secret is refused where keys are loaded.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC takes a key of any length; the error type has no value for SHA-256.
        Self(Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes any key length")))
    }

    /// HMAC-SHA256 of the body.
    pub fn mac(&self, body: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    /// The header's value as text; see [`MacKey::x_signature_bytes`].
    ///
    /// ```
    /// # use trunkline_core_types::MacKey;
    /// let header = MacKey::new(b"test-secret-0001").x_signature(b"");
    /// assert!(header.starts_with("sha256=d0632805491b6be7"));
    /// ```
    pub fn x_signature(&self, body: &[u8]) -> String {
        self.x_signature_bytes(body).map(char::from).iter().collect()
    }

    /// The header's value: `sha256=` and 64 lower-case hex digits.
    pub fn x_signature_bytes(&self, body: &[u8]) -> [u8; LENGTH] {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut header = *b"sha256=0000000000000000000000000000000000000000000000000000000000000000";
        for (digits, byte) in header[7..].as_chunks_mut().0.iter_mut().zip(self.mac(body)) {
            *digits = [digit(byte >> 4), digit(byte & 15)];
        }
        header
    }

    /// Whether the header signs the body, in constant time. Upper-case digits, other prefixes and spaces are refused.
    pub fn verify_x_signature(&self, header: &[u8], body: &[u8]) -> bool {
        header.len() == LENGTH && bool::from(self.x_signature_bytes(body).ct_eq(header))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_4231_case_2() {
        let mac = MacKey::new(b"Jefe").x_signature(b"what do ya want for nothing?");
        assert_eq!(mac, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn wrong_headers_are_refused() {
        let key = MacKey::new(b"secret");
        let good = key.x_signature(b"body");
        let upper = good.to_uppercase().replace("SHA256=", "sha256=");
        let (spaced, short) = (format!(" {good}"), good[..good.len() - 1].to_owned());
        let prefixed =
            [good.replace("sha256=", "sha1="), good.replace("sha256=", "SHA256="), good[7..].to_owned()];
        for bad in prefixed.iter().chain([&upper, &spaced, &short, &format!("{good},{good}"), &String::new()])
        {
            assert!(!key.verify_x_signature(bad.as_bytes(), b"body"), "{bad}");
        }
        assert!(key.verify_x_signature(good.as_bytes(), b"body"));
        assert!(!MacKey::new(b"other").verify_x_signature(good.as_bytes(), b"body"));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_refused(body in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0u8..8) {
            let key = MacKey::new(b"secret");
            let header = key.x_signature(&body);
            prop_assert!(key.verify_x_signature(header.as_bytes(), &body));
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1 << bit;
            prop_assert!(!key.verify_x_signature(header.as_bytes(), &changed));
        }
    }
}

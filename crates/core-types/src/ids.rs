//! Names that travel with a call: its idempotency key and the account that places it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Entropy, InputError};

/// The one name of a call, over all its attempts: 1 to 255 visible ASCII characters without spaces.
///
/// `Debug` shows its length only, since callers may put anything into it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest key, in characters.
    pub const MAX: usize = 255;

    /// A fresh key of 128 random bits: `tk_` and 32 hex digits.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let [high, low] = entropy.next_pair();
        let random = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
        let mut text = *b"tk_00000000000000000000000000000000";
        for (digits, byte) in text[3..].as_chunks_mut().0.iter_mut().zip(random) {
            *digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        // Digits only, so this always is text.
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// The key as it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into())).ok_or_else(|| {
            InputError::new(
                "idempotency_key",
                format!(
                    "must be 1 to {} visible ASCII characters without spaces; got {} bytes",
                    Self::MAX,
                    text.len()
                ),
            )
        })
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} characters)", self.0.len())
    }
}

/// The caller's name for one account at one provider: 1 to 64 of `a-z 0-9 _ -`. It is a metric label, so keep the set small.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The longest name, in characters.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.into())).ok_or_else(|| {
            InputError::new(
                "account",
                format!("must be 1 to {} of a-z 0-9 _ -; got {} bytes", Self::MAX, text.len()),
            )
        })
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn minted_keys_differ_and_parse() {
        let source = SeededEntropy::new(1);
        let (a, b) = (IdempotencyKey::mint(&source), IdempotencyKey::mint(&source));
        assert_ne!(a, b);
        let [high, low] = SeededEntropy::new(1).next_pair();
        assert_eq!(a.as_str(), format!("tk_{high:016x}{low:016x}"));
        assert_eq!(a.as_str().parse::<IdempotencyKey>().unwrap(), a);
    }

    #[test]
    fn debug_of_a_key_hides_it() {
        let key: IdempotencyKey = "order-14155550123".parse().unwrap();
        assert_eq!(format!("{key:?}"), "IdempotencyKey(17 characters)");
    }

    proptest! {
        #[test]
        fn keys_are_visible_ascii(text in "\\PC{0,300}") {
            let good = !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| (0x21..=0x7e).contains(&b));
            let parsed = text.parse::<IdempotencyKey>();
            prop_assert_eq!(parsed.is_ok(), good);
            if let Ok(key) = parsed { prop_assert_eq!(key.as_str(), text); }
        }

        #[test]
        fn accounts_are_labels(text in "[a-zA-Z0-9_. -]{0,80}") {
            let good = (1..=64).contains(&text.len())
                && text.chars().all(|c| "abcdefghijklmnopqrstuvwxyz0123456789_-".contains(c));
            prop_assert_eq!(text.parse::<AccountId>().is_ok(), good);
        }
    }
}

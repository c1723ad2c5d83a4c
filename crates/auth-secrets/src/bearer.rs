//! `Authorization: Bearer`.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use trunkline_core_types::{Key, KeyError, KeyErrorKind};
use zeroize::Zeroizing;

use crate::key_signer::{KeySigner, Scheme, sensitive};

/// Puts `Authorization: Bearer <key>` on requests to one origin, replacing any that was there.
///
/// The value is built once per key version and marked sensitive. A key with anything but visible ASCII is `Invalid`.
pub type BearerSigner = KeySigner<Bearer>;

/// The scheme of [`BearerSigner`].
#[derive(Debug)]
pub enum Bearer {}

impl Scheme for Bearer {
    type Made = HeaderValue;

    fn make(key: &Key) -> Result<HeaderValue, KeyError> {
        if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let shape = "the bearer key holds a space, a line break or a character outside ASCII; store the key alone";
            return Err(KeyError::new(KeyErrorKind::Invalid, shape));
        }
        let text = Zeroizing::new(format!("Bearer {}", key.expose()));
        sensitive(text.as_bytes())
    }

    fn put(made: &HeaderValue, request: &mut Request<Bytes>) -> Result<(), KeyError> {
        request.headers_mut().insert(AUTHORIZATION, made.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_is_sent_whole_or_refused_unseen(value in "\\PC{1,80}|[!-~]{1,80}|[ -~\r\n\t]{1,80}") {
            let key = Key::new(value.as_str().into(), "v1").unwrap();
            match Bearer::make(&key) {
                Ok(made) => {
                    prop_assert_eq!(made.to_str().unwrap(), format!("Bearer {value}"));
                    prop_assert!(made.is_sensitive());
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), KeyErrorKind::Invalid);
                    prop_assert!(value.bytes().any(|byte| !byte.is_ascii_graphic()));
                    prop_assert!(value.len() < 8 || !error.to_string().contains(&value));
                }
            }
        }
    }
}

//! `Authorization: Basic`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use trunkline_core_types::{Key, KeyError, KeyErrorKind};
use zeroize::Zeroizing;

use crate::key_signer::{KeySigner, Scheme, sensitive};

/// Puts `Authorization: Basic base64(id:value)` on requests to one origin, replacing any that was there.
///
/// The key needs an id (account SID, user name) without a colon; neither part may hold control characters. Text outside ASCII goes
/// as UTF-8. The value is built once per key version and marked sensitive.
pub type BasicSigner = KeySigner<Basic>;

/// The scheme of [`BasicSigner`].
#[derive(Debug)]
pub enum Basic {}

impl Scheme for Basic {
    type Made = HeaderValue;

    fn make(key: &Key) -> Result<HeaderValue, KeyError> {
        let bad = |what| Err(KeyError::new(KeyErrorKind::Invalid, what));
        let Some(id) = key.id().filter(|id| !id.is_empty()) else {
            return bad("basic authentication needs the key's id; name the variable or field that holds it");
        };
        if id.contains(':') {
            return bad("the key's id holds a colon, which basic authentication cannot carry; check the id");
        }
        if id.chars().chain(key.expose().chars()).any(char::is_control) {
            return bad(
                "the key or its id holds a control character, perhaps a line break; store the text alone",
            );
        }
        let pair = Zeroizing::new(format!("{id}:{}", key.expose()));
        let mut text = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
        text.push_str("Basic ");
        STANDARD.encode_string(pair.as_bytes(), &mut text);
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

    #[test]
    fn the_pair_of_rfc_7617() {
        let key = Key::new("open sesame".into(), "v1").unwrap().with_id("Aladdin");
        assert_eq!(Basic::make(&key).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let utf8 = Key::new("123\u{a3}".into(), "v1").unwrap().with_id("test");
        assert_eq!(Basic::make(&utf8).unwrap(), "Basic dGVzdDoxMjPCow==");
    }

    #[test]
    fn a_key_without_a_usable_id_is_refused() {
        let key = || Key::new("canary-1".into(), "v1").unwrap();
        for bad in [key(), key().with_id(""), key().with_id("a:b"), key().with_id("a\n")] {
            let error = Basic::make(&bad).unwrap_err();
            assert_eq!(error.kind(), KeyErrorKind::Invalid);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_pair_is_read_back_or_refused(id in "\\PC{0,40}", value in "(?s).{1,60}") {
            let key = Key::new(value.as_str().into(), "v1").unwrap().with_id(id.as_str());
            let fits = !id.is_empty() && !id.contains(':') && !value.chars().any(char::is_control);
            let made = Basic::make(&key);
            prop_assert_eq!(made.is_ok(), fits);
            if let Ok(made) = made {
                let text = made.to_str().unwrap().strip_prefix("Basic ").unwrap();
                prop_assert_eq!(STANDARD.decode(text).unwrap(), format!("{id}:{value}").into_bytes());
                prop_assert!(made.is_sensitive());
            }
        }
    }
}

//! `Authorization: Bearer`.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use trunkline_core_types::{BoxFuture, Key, KeyError, KeyErrorKind, KeyProvider, Origin, Sign};
use zeroize::Zeroizing;

use crate::bound::Bound;

/// Puts `Authorization: Bearer <key>` on requests to one origin, replacing any that was there.
///
/// The value is built once per key version and marked sensitive. A key with anything but visible ASCII is `Invalid`.
pub struct BearerSigner(Bound<HeaderValue>);

impl BearerSigner {
    /// A signer for this origin with this key.
    pub fn new(origin: Origin, keys: Arc<dyn KeyProvider>) -> Self {
        Self(Bound::new(origin, keys))
    }
}

fn header(key: &Key) -> Result<HeaderValue, KeyError> {
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let shape =
            "the bearer key holds a space, a line break or a character outside ASCII; store the key alone";
        return Err(KeyError::new(KeyErrorKind::Invalid, shape));
    }
    let text = Zeroizing::new(format!("Bearer {}", key.expose()));
    sensitive(&text)
}

/// A header value that no log of headers prints.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, KeyError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        KeyError::new(KeyErrorKind::Invalid, "the key cannot be a header; store printable text")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Sign for BearerSigner {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(async move {
            let made = self.0.made(request, deadline, header).await?;
            request.headers_mut().insert(AUTHORIZATION, made.value.clone());
            Ok(())
        })
    }

    fn warm<'a>(&'a self, request: &'a Request<Bytes>, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let _ = self.0.made(request, deadline, header).await;
        })
    }

    fn learn(&self, status: StatusCode, _headers: &HeaderMap) -> bool {
        self.0.learn(status)
    }
}

impl fmt::Debug for BearerSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BearerSigner").field(&self.0).finish()
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
            match header(&key) {
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

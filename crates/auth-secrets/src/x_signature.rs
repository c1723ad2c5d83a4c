//! `X-Signature`: HMAC-SHA256 over the exact bytes of the body.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use http::{Request, StatusCode};
use trunkline_core_types::{BoxFuture, Key, KeyError, KeyProvider, MacKey, Origin, Sign};

use crate::bearer::sensitive;
use crate::bound::Bound;

/// The header's name, `x-signature`.
pub const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Puts `X-Signature: sha256=<64 lower-case hex digits>` on requests to one origin, replacing any that was there.
///
/// Signed are the body's bytes as they are sent, keyed with the UTF-8 bytes of the secret as they are; a request without a body is
/// signed over zero bytes. It covers the body only, so no other signer may change the body after it: let it come last. The secret is
/// keyed once per version.
pub struct XSignatureSigner(Bound<MacKey>);

impl XSignatureSigner {
    /// A signer for this origin with this secret.
    pub fn new(origin: Origin, keys: Arc<dyn KeyProvider>) -> Self {
        Self(Bound::new(origin, keys))
    }
}

fn keyed(key: &Key) -> Result<MacKey, KeyError> {
    Ok(MacKey::new(key.expose().as_bytes()))
}

impl Sign for XSignatureSigner {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(async move {
            let made = self.0.made(request, deadline, keyed).await?;
            let signature = sensitive(&made.value.x_signature(request.body()))?;
            request.headers_mut().insert(X_SIGNATURE, signature);
            Ok(())
        })
    }

    fn warm<'a>(&'a self, request: &'a Request<Bytes>, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let _ = self.0.made(request, deadline, keyed).await;
        })
    }

    fn learn(&self, status: StatusCode, _headers: &HeaderMap) -> bool {
        self.0.learn(status)
    }
}

impl fmt::Debug for XSignatureSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("XSignatureSigner").field(&self.0).finish()
    }
}

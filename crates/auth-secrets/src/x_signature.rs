//! `X-Signature`: HMAC-SHA256 over the exact bytes of the body.

use bytes::Bytes;
use http::Request;
use http::header::HeaderName;
use trunkline_core_types::{Key, KeyError, MacKey};

use crate::key_signer::{KeySigner, Scheme, sensitive};

/// The header's name, `x-signature`.
pub const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Puts `X-Signature: sha256=<64 lower-case hex digits>` on requests to one origin, replacing any that was there.
///
/// Signed are the body's bytes as they are sent, keyed with the UTF-8 bytes of the secret as they are; a request without a body is
/// signed over zero bytes. It covers the body only, so no other signer may change the body after it: let it come last. The secret is
/// keyed once per version.
pub type XSignatureSigner = KeySigner<XSignature>;

/// The scheme of [`XSignatureSigner`].
#[derive(Debug)]
pub enum XSignature {}

impl Scheme for XSignature {
    type Made = MacKey;

    fn make(key: &Key) -> Result<MacKey, KeyError> {
        Ok(MacKey::new(key.expose().as_bytes()))
    }

    fn put(made: &MacKey, request: &mut Request<Bytes>) -> Result<(), KeyError> {
        let signature = sensitive(&made.x_signature_bytes(request.body()))?;
        request.headers_mut().insert(X_SIGNATURE, signature);
        Ok(())
    }
}

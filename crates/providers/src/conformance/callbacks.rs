//! Callbacks: nothing unsigned is believed, and no refusal repeats what came.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Request};
use trunkline_core_types::{
    Key, KeyError, KeySet, MacKey, Provider, SeededEntropy, WebhookError, WebhookErrorKind,
};

use super::Violation;
use super::samples::{bodies, noise, quiet};

/// How many random bodies are tried.
const RANDOM_BODIES: u64 = 200;
const RULE: &str = "unsigned_callbacks_are_refused";

/// A callback without a signature, or with one of another key, is refused as such whatever its body says, and no error about a body that
/// cannot be read repeats what was in it. A provider without callbacks refuses every one as unsupported.
///
/// # Errors
/// [`Violation`] naming the shape of the callback.
pub fn unsigned_callbacks_are_refused(provider: &dyn Provider) -> Result<(), Violation> {
    let random = SeededEntropy::new(0x6361_6c6c);
    let keys = keys().map_err(|error| Violation::new("samples", error.to_string()))?;
    let noise = (0..RANDOM_BODIES).map(|_| noise(&random));
    for body in bodies().into_iter().chain([EVENT.into()]).chain(noise) {
        let signed_by = |secret: &str| Some(MacKey::new(secret.as_bytes()).x_signature(&body));
        for (shape, signature) in [("unsigned", None), ("signed by another", signed_by("another"))] {
            match ask(provider, &keys, &body, signature) {
                Err(error) if is_refusal(&error) => told_nothing(shape, &error)?,
                _ => return Err(Violation::new(RULE, format!("{shape}, and not refused as such"))),
            }
        }
        // What a signed one says is the provider's own business; that it repeats nothing is ours.
        for secret in ["current", "previous"] {
            if let Err(error) = ask(provider, &keys, &body, signed_by(secret)) {
                told_nothing("signed", &error)?;
            }
        }
    }
    Ok(())
}

const EVENT: &str = r#"{"event_id": "evt_1", "created": "2026-01-31T08:00:04Z", "type": "call.queued", "call": {"call_id": "call_1", "status": "queued", "timestamps": {"created": "2026-01-31T08:00:00Z"}, "cost": 0.015, "idempotency_key": "canary-key"}}"#;

fn keys() -> Result<KeySet, KeyError> {
    let key = |value: &str| Key::new(value.into(), value);
    Ok(KeySet { current: key("current")?, previous: Some(key("previous")?) })
}

fn ask(
    provider: &dyn Provider,
    keys: &KeySet,
    body: &[u8],
    signature: Option<String>,
) -> Result<(), WebhookError> {
    let mut request = Request::post("https://us.example.com/events?token=canary")
        .body(Bytes::copy_from_slice(body))
        .unwrap_or_default();
    if let Some(value) = signature.and_then(|text| HeaderValue::from_str(&text).ok()) {
        request.headers_mut().insert("x-signature", value);
    }
    provider.webhook(&request, keys, SystemTime::UNIX_EPOCH).map(drop)
}

fn is_refusal(error: &WebhookError) -> bool {
    matches!(error.kind(), WebhookErrorKind::Signature | WebhookErrorKind::Unsupported)
}

fn told_nothing(shape: &str, error: &WebhookError) -> Result<(), Violation> {
    quiet(RULE, &format!("error of a callback ({shape})"), &format!("{error} {error:?}"))
}

//! Replies that refuse: what they say, and what class they may be.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use trunkline_core_types::{ProviderError, ProviderErrorKind as Kind, Reply, Scope, Verdict, retry_after};

use crate::json::{Raw, object, whole};

/// The longest reply body that is read, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// What an error body says. A field of the wrong type is one that is not there.
struct Said {
    kind: Option<String>,
    message: Option<String>,
    param: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Raw<'a>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    message: Raw<'a>,
    #[serde(borrow)]
    param: Raw<'a>,
}

impl Said {
    /// `None` for a body that is too long, cut off, or not an error of the contract.
    fn read(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BODY {
            return None;
        }
        let envelope: Envelope<'_> = whole(body).ok()?;
        let error: WireError<'_> = object("error", envelope.error?).ok()?;
        Some(Self { kind: text(error.kind), message: text(error.message), param: text(error.param) })
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

fn text(raw: Raw<'_>) -> Option<String> {
    raw.map(RawValue::get).and_then(|raw| serde_json::from_str(raw).ok())
}

/// The contract's table. Where the outcome is open by status, only a body that was read whole makes it a refusal.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    match status.as_u16() {
        400 | 404 | 413 | 422 => Verdict::Rejected(Scope::Call),
        403 if Said::read(body).is_some_and(|said| said.param.as_deref() == Some("to")) => {
            Verdict::Rejected(Scope::Call)
        }
        401..=403 => Verdict::Rejected(Scope::Account),
        409 if Said::read(body).is_some_and(|said| said.is("idempotency_conflict")) => {
            Verdict::Rejected(Scope::Call)
        }
        409 => Verdict::Ambiguous,
        429 => Verdict::Deferred(retry_after(headers)),
        _ => Verdict::AsStatus,
    }
}

pub(super) fn read_error(reply: &Reply) -> ProviderError {
    let status = reply.status().as_u16();
    let error = match Said::read(reply.body()) {
        Some(Said { kind: Some(code), message, param }) => refused(status, &code, message, param),
        _ => {
            let length = reply.body().len();
            let message =
                format!("status {status}, and the body ({length} bytes) is not an error of this API");
            ProviderError::new(kind_of_status(status), &message)
        }
    };
    match request_id(reply.headers()) {
        Some(id) => error.with_request_id(id),
        None => error,
    }
}

fn refused(status: u16, code: &str, message: Option<String>, param: Option<String>) -> ProviderError {
    let text = printable(message.as_deref().unwrap_or("no message"));
    let message = match &param {
        Some(param) if !text.starts_with(param.as_str()) => {
            format!("status {status}: {}: {text}", printable(param))
        }
        _ => format!("status {status}: {text}"),
    };
    let error = ProviderError::new(kind_of_code(code), &message).with_code(&printable(code));
    match param {
        Some(param) => error.with_field(&printable(&param)),
        None => error,
    }
}

/// A provider's text on one line.
fn printable(text: &str) -> String {
    text.chars().take(512).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn kind_of_code(code: &str) -> Kind {
    match code {
        "invalid_request" => Kind::InvalidRequest,
        "authentication" => Kind::Authentication,
        "billing" => Kind::Billing,
        "permission" => Kind::Permission,
        "not_found" => Kind::NotFound,
        "idempotency_conflict" | "idempotency_in_progress" | "idempotency_state_unknown" => Kind::Idempotency,
        "timeout" => Kind::Timeout,
        "rate_limit" => Kind::RateLimit,
        "api" => Kind::Api,
        "overloaded" => Kind::Overloaded,
        _ => Kind::Other,
    }
}

fn kind_of_status(status: u16) -> Kind {
    match status {
        400 | 413 | 422 => Kind::InvalidRequest,
        401 => Kind::Authentication,
        402 => Kind::Billing,
        403 => Kind::Permission,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        409 => Kind::Idempotency,
        429 => Kind::RateLimit,
        529 => Kind::Overloaded,
        500..=599 => Kind::Api,
        _ => Kind::Other,
    }
}

/// The `request-id` header, where it is visible ASCII.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("request-id")?.to_str().ok()?;
    (!id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic())).then_some(id)
}

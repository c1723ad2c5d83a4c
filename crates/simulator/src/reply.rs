//! Replies and refusals in the contract's shapes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

pub(crate) type Reply = Response<Full<Bytes>>;

/// A reply, or the connection's end without one.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Reset,
    /// The reply's head and this many bytes of its body, then a reset.
    Cut(Reply, usize),
    /// The whole reply, then a close that no header announces.
    Last(Reply),
}

/// An error reply: what was refused and why. Its message never holds a value from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) allow: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None, retry_after: None, allow: None }
    }

    /// 400 `invalid_request`: `problem` follows the field's name.
    pub(crate) fn invalid(param: &'static str, problem: &str) -> Self {
        let message = format!("{param}: {problem}");
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", message) }
    }

    pub(crate) fn authentication(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication", message)
    }

    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn conflict(kind: &'static str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, kind, message)
    }

    pub(crate) fn api() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "api", "something went wrong")
    }

    pub(crate) fn rate_limit(retry_after: u64) -> Self {
        let refusal =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", "more calls a second than agreed");
        refusal.after(retry_after)
    }

    pub(crate) fn method(allow: &'static str) -> Self {
        let message = format!("method not allowed; use {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", message) }
    }

    /// The same with `Retry-After`, whole seconds.
    pub(crate) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn into_reply(self) -> Reply {
        let shape = Shape {
            kind: "error",
            error: Inner { kind: self.kind, message: &self.message, param: self.param },
        };
        let mut reply = json(self.status, &shape);
        if let Some(seconds) = self.retry_after {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            reply.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static(methods));
        }
        reply
    }
}

#[derive(Serialize)]
struct Shape<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'static str>,
}

pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A JSON reply. A value that cannot be written becomes an empty 500, which no type of this crate does.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    let (status, body) = match serde_json::to_vec(value) {
        Ok(body) => (status, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    };
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

//! Requests and replies as text.

use std::time::Duration;

use crate::simulation::exchange::Answer;

/// The word of an error.
pub(super) fn word(status: Option<u16>) -> &'static str {
    match status {
        Some(400) => "invalid_request",
        Some(402) => "billing",
        Some(429) => "rate_limit",
        Some(409) => "idempotency_state_unknown",
        _ => "api",
    }
}

/// An answer with a head, or a reset without a status.
pub(super) fn answer(after: Duration, status: Option<u16>, body: String) -> Answer {
    let head =
        |status| format!("HTTP/1.1 {status} X\r\nretry-after: 1\r\ncontent-length: {}\r\n\r\n", body.len());
    Answer { after, text: status.map(|status| head(status) + &body) }
}

/// A header's value.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

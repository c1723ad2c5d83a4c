//! Trunkline's providers from outside: golden requests, replies, refusals, and the conformance suite.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod conformance;
mod errors;
mod replies;
mod requests;
mod webhooks;

use bytes::Bytes;
use http::{Response, StatusCode};
use trunkline_core_types::{IdempotencyKey, Reply};
use trunkline_providers::ClaudeVoice;

fn voice() -> ClaudeVoice {
    ClaudeVoice::new("https://voice.example.com").unwrap()
}

fn key() -> IdempotencyKey {
    "order-17".parse().unwrap()
}

fn reply(code: u16, body: impl AsRef<[u8]>) -> Reply {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_ref()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert("request-id", "req_9".parse().unwrap());
    Reply::new(response)
}

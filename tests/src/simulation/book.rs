//! The provider's book: what was asked, who was rung, and what it replied.

use std::collections::BTreeMap;

use super::fate::Acts;

/// One ring, as the provider knows it.
#[derive(Debug, Clone)]
struct Ring {
    count: u32,
    reply: String,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// Whether it honours idempotency keys.
    keyed: bool,
    rings: BTreeMap<String, Ring>,
    /// Requests so far under each key.
    requests: BTreeMap<String, u64>,
}

impl Book {
    pub(super) fn new(keyed: bool) -> Self {
        Self { keyed, ..Self::default() }
    }

    /// The number of the next request under `key`, from 1.
    pub(super) fn number(&mut self, key: &str) -> u64 {
        let number = self.requests.entry(key.to_owned()).or_default();
        *number += 1;
        *number
    }

    /// Acts on a create; gives the reply.
    pub(super) fn create(&mut self, key: &str, acts: Acts) -> String {
        match acts {
            Acts::Yes => response(201, &self.ring(key)),
            Acts::YesAnswers(status) => {
                self.ring(key);
                refusal(status)
            }
            Acts::No(status) => refusal(status),
            Acts::Silent => String::new(),
        }
    }

    /// Rings and gives the description of the call.
    pub(super) fn ring(&mut self, key: &str) -> String {
        let number = self.rings.len();
        if let Some(ring) = self.rings.get_mut(key) {
            ring.count += u32::from(!self.keyed);
            return ring.reply.clone();
        }
        let reply = format!(
            r#"{{"call_id":"call_{number}","status":"queued","timestamps":{{"created":"2026-01-01T00:00:00Z"}},"cost":0.015}}"#
        );
        self.rings.insert(key.to_owned(), Ring { count: 1, reply: reply.clone() });
        reply
    }

    pub(super) fn times_rung(&self, key: &str) -> u32 {
        self.rings.get(key).map_or(0, |ring| ring.count)
    }
}

/// An error as the provider words it.
pub(super) fn refusal(status: u16) -> String {
    let kind = match status {
        400 => "invalid_request",
        402 => "billing",
        404 => "not_found",
        429 => "rate_limit",
        409 => "idempotency_state_unknown",
        _ => "api",
    };
    response(status, &format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#))
}

pub(super) fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nretry-after: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

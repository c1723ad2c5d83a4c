//! The book: who was rung, how often, and everything the server noticed about its client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

/// The simulator's own count, a snapshot. `GET /_book` answers it as JSON with these field names.
///
/// The book treats each number as one intended call: whoever wants to ring one number twice on purpose reads
/// [`crate::Simulator::times_rung`] instead of `duplicates`. A call counts as rung from the moment it is placed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Book {
    /// Rings: calls that were placed.
    pub calls: u64,
    /// Distinct numbers rung.
    pub people: u64,
    /// Rings of a number beyond its first: `calls - people`.
    pub duplicates: u64,
    /// Creates that arrived above the granted rate. Each was answered 429 and rang nobody. Injected throttles are not counted.
    pub pace_violations: u64,
    /// Requests below `/v1`, also refused ones.
    pub requests: u64,
    /// Creates with a valid key and signature, also those refused later.
    pub creates: u64,
    /// Requests whose `X-Signature` was right.
    pub signatures_verified: u64,
    /// Requests answered 401 because `X-Signature` was wrong, doubled, or missing where it is required.
    pub signatures_refused: u64,
    /// Requests answered 401 because of their API key.
    pub unauthorized: u64,
    /// Creates answered from an idempotency key, ringing nobody.
    pub replays: u64,
    /// Events sent to callback URLs, repeats included.
    pub events_sent: u64,
    /// Those that were answered with a 2xx.
    pub events_acknowledged: u64,
    /// Faults that happened, by [`crate::Fault::name`] and [`crate::CallbackFault::name`].
    pub faults: BTreeMap<&'static str, u64>,
}

/// One call as the simulator has it. Its `Debug` shows the last two digits of a number and no text or address.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BookedCall {
    /// The id that the client got.
    pub call_id: String,
    /// Who was rung, E.164.
    pub to: String,
    /// The caller id, E.164; the account's number if the client gave none.
    pub from: String,
    /// The text to speak, or the address of the audio.
    pub said: String,
    /// The key it was placed under.
    pub idempotency_key: Option<String>,
    /// Where events should go.
    pub callback_url: Option<String>,
    /// The client's pairs, in the order given.
    pub tags: Vec<(String, String)>,
    /// The status now: `queued`, `ringing`, `answered`, `completed`, `no_answer` or `canceled`.
    pub status: &'static str,
    /// When it was placed, by the injected clock; whole milliseconds.
    pub created: SystemTime,
}

impl fmt::Debug for BookedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookedCall")
            .field("call_id", &self.call_id)
            .field("to", &masked(&self.to))
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A number's last two digits.
pub(crate) fn masked(number: &str) -> String {
    format!("..{}", number.get(number.len().saturating_sub(2)..).unwrap_or(""))
}

/// The counters behind a [`Book`] that the call store does not know.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) pace_violations: u64,
    pub(crate) requests: u64,
    pub(crate) creates: u64,
    pub(crate) signatures_verified: u64,
    pub(crate) signatures_refused: u64,
    pub(crate) unauthorized: u64,
    pub(crate) replays: u64,
    pub(crate) events_sent: u64,
    pub(crate) events_acknowledged: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn book(&self, calls: usize, people: usize) -> Book {
        let (calls, people) = (calls as u64, people as u64);
        Book {
            calls,
            people,
            duplicates: calls.saturating_sub(people),
            pace_violations: self.pace_violations,
            requests: self.requests,
            creates: self.creates,
            signatures_verified: self.signatures_verified,
            signatures_refused: self.signatures_refused,
            unauthorized: self.unauthorized,
            replays: self.replays,
            events_sent: self.events_sent,
            events_acknowledged: self.events_acknowledged,
            faults: self.faults.clone(),
        }
    }
}

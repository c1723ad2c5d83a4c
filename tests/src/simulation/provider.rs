//! The simulated provider: what it does with a request, and its book of who was rung.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trunkline_core_types::{Clock, EntropyExt, SeededEntropy, VirtualClock};

use super::plan::Plan;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    /// The write side stops here.
    pub(super) write: Option<(usize, WriteEnd)>,
    /// At most so many bytes are taken at once.
    pub(super) gulp: usize,
    pub(super) acts: Acts,
    /// The reply waits so long.
    pub(super) delay: Duration,
    /// The reply is cut after so many bytes.
    pub(super) cut: Option<usize>,
    pub(super) end: ReadEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    Fails,
    /// Blocks, and takes bytes again after this time.
    Blocks(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acts {
    /// Rings and answers 201.
    Yes,
    /// Rings and answers this.
    YesAnswers(u16),
    /// Rings nobody and answers this.
    No(u16),
    /// Rings nobody and says nothing.
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Stays,
    Closes,
    Resets,
    Hangs,
}

/// One ring, as the provider knows it.
#[derive(Debug, Clone)]
struct Ring {
    count: u32,
    reply: String,
}

#[derive(Debug)]
pub(super) struct World {
    entropy: SeededEntropy,
    faults: u64,
    keyed: bool,
    pub(super) clock: Arc<VirtualClock>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    rings: BTreeMap<String, Ring>,
    /// When the first byte of each create came, by account.
    starts: BTreeMap<usize, Vec<Instant>>,
    /// When a 429 with a wait of one second had been read whole, by account.
    throttles: BTreeMap<usize, Vec<Instant>>,
    trace: u64,
}

impl World {
    pub(super) fn new(seed: u64, plan: &Plan, clock: Arc<VirtualClock>) -> Self {
        let entropy = SeededEntropy::new(seed);
        Self { entropy, faults: plan.faults, keyed: plan.keyed, clock, book: Mutex::default() }
    }

    /// Draws what happens to the next request.
    pub(super) fn fate(&self) -> Fate {
        let below = |bound: u64| self.entropy.below(bound);
        let mut fate = Fate {
            write: None,
            gulp: if below(4) == 0 { 1 + below(40) as usize } else { usize::MAX },
            acts: Acts::Yes,
            delay: Duration::from_millis(below(200)),
            cut: None,
            end: ReadEnd::Stays,
        };
        if below(1000) >= self.faults {
            return fate;
        }
        let end = [ReadEnd::Closes, ReadEnd::Resets, ReadEnd::Hangs][below(3) as usize];
        match below(9) {
            0 => fate.write = Some((below(400) as usize, WriteEnd::Fails)),
            1 => fate.write = Some((0, WriteEnd::Fails)),
            2 => {
                let long = Duration::from_millis(below(40_000));
                fate.write = Some((below(400) as usize, WriteEnd::Blocks(long)));
            }
            3 => (fate.cut, fate.end) = (Some(below(300) as usize), end),
            4 => (fate.acts, fate.end) = (Acts::Silent, end),
            5 => fate.acts = Acts::No([400, 402, 429, 500, 503, 409][below(6) as usize]),
            6 => fate.acts = Acts::YesAnswers([500, 503, 302, 409][below(4) as usize]),
            7 => fate.delay = Duration::from_millis(below(30_000)),
            _ => fate.end = ReadEnd::Closes,
        }
        fate
    }

    /// A chance of so many in a thousand.
    pub(super) fn chance(&self, per_mille: u64) -> bool {
        self.entropy.below(1000) < per_mille
    }

    pub(super) fn refuses_connection(&self) -> bool {
        self.chance(self.faults / 10)
    }

    /// The first byte of a request came, which the client began to write at `began`.
    pub(super) fn first_byte(&self, account: usize, began: Instant) {
        self.note(account as u64);
        self.book().starts.entry(account).or_default().push(began);
    }

    /// Acts on a whole request; gives the reply.
    pub(super) fn act(&self, request: &str, acts: Acts) -> String {
        let key = request.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap_or_default();
        self.note(key.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)));
        let status = match acts {
            Acts::Yes => return response(201, &self.ring(key)),
            Acts::YesAnswers(status) => {
                self.ring(key);
                status
            }
            Acts::No(status) => status,
            Acts::Silent => return String::new(),
        };
        let kind = match status {
            400 => "invalid_request",
            402 => "billing",
            429 => "rate_limit",
            409 => "idempotency_state_unknown",
            _ => "api",
        };
        response(status, &format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#))
    }

    fn ring(&self, key: &str) -> String {
        let mut book = self.book();
        let number = book.rings.len();
        if let Some(ring) = book.rings.get_mut(key) {
            ring.count += u32::from(!self.keyed);
            return ring.reply.clone();
        }
        let reply = format!(
            r#"{{"call_id":"call_{number}","status":"queued","timestamps":{{"created":"2026-01-01T00:00:00Z"}},"cost":0.015}}"#
        );
        book.rings.insert(key.to_owned(), Ring { count: 1, reply: reply.clone() });
        reply
    }

    pub(super) fn times_rung(&self, key: &str) -> u32 {
        self.book().rings.get(key).map_or(0, |ring| ring.count)
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.book().rings.values().map(|ring| u64::from(ring.count - 1)).sum()
    }

    /// Starts and throttles of each account.
    pub(super) fn paces(&self) -> Vec<(Vec<Instant>, Vec<Instant>)> {
        let book = self.book();
        let throttles = |account| book.throttles.get(account).cloned().unwrap_or_default();
        let sorted = |starts: &Vec<Instant>| {
            let mut starts = starts.clone();
            starts.sort();
            starts
        };
        book.starts.iter().map(|(account, starts)| (sorted(starts), throttles(account))).collect()
    }

    /// The client has read a reply to its end.
    pub(super) fn was_read(&self, account: usize, fate: &Fate) {
        if fate.acts == Acts::No(429) && fate.cut.is_none() {
            let now = self.clock.now();
            self.book().throttles.entry(account).or_default().push(now);
        }
    }

    /// Adds a word and the time to the trace, whose hash two runs of one seed must share.
    pub(super) fn note(&self, word: u64) {
        let since = u64::try_from(self.clock.since_start().as_nanos()).unwrap_or(u64::MAX);
        let mut book = self.book();
        for part in [word, since] {
            book.trace = (book.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.book().trace
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nretry-after: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

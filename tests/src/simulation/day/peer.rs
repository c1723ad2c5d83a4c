//! The provider of the day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline::Clock;
use trunkline_core_types::{EntropyExt, SeededEntropy, VirtualClock};

use super::tally::Tally;
use crate::simulation::callbacks::{Callbacks, Manners, Rung};
use crate::simulation::exchange::{Answer, Peer};
use crate::simulation::listing::{Listing, error};
use crate::simulation::lives::Life;
use crate::simulation::rotation::{Rotation, text};

pub(super) const ACCOUNT: &str = "main";
pub(super) const KEY: &str = "key";
pub(super) const SECRET: &str = "secret";

/// Before the number of a call this makes a phone number.
pub(super) const PREFIX: &str = "+1415";

const MINUTE: Duration = Duration::from_secs(60);
/// From 10:10 for a quarter of an hour nobody can connect.
const DOWN: [Duration; 2] = [MINUTE.saturating_mul(610), MINUTE.saturating_mul(625)];
/// From 16:00 for ten minutes it acts or not, and nobody learns which.
const LOST: [Duration; 2] = [MINUTE.saturating_mul(960), MINUTE.saturating_mul(970)];
/// Of a thousand requests so many fail at any time.
const FAULTS: u64 = 2;

#[derive(Debug)]
pub(super) struct DayPeer {
    seed: u64,
    entropy: SeededEntropy,
    rotation: Rotation,
    tally: Arc<Tally>,
    clock: Arc<VirtualClock>,
    pub(super) callbacks: Callbacks,
    listing: Listing,
}

impl DayPeer {
    pub(super) fn new(seed: u64, rotation: Rotation, tally: Arc<Tally>, clock: Arc<VirtualClock>) -> Self {
        let (secret, happens) = (Box::new(|| text(SECRET, 0)), Box::new(|_| true));
        let manners = Manners { trouble: 20, happens, secret, explained: Vec::new() };
        Self {
            seed,
            entropy: SeededEntropy::new(seed.wrapping_add(1)),
            rotation,
            tally,
            callbacks: Callbacks::new(seed, manners, clock.clone()),
            listing: Listing::new(clock.clone(), Duration::from_secs(2 * 3_600)),
            clock,
        }
    }

    fn is_in(&self, outage: [Duration; 2]) -> bool {
        (outage[0]..outage[1]).contains(&self.clock.since_start())
    }

    /// What becomes of a create: whether it acts, and what it answers; no status is silence and then a reset.
    fn fate(&self) -> (bool, Option<u16>) {
        let lost = self.is_in(LOST) && self.entropy.below(10) > 0;
        if !lost && self.entropy.below(1_000) >= FAULTS {
            return (true, Some(201));
        }
        let acts = self.entropy.below(2) == 0;
        match self.entropy.below(3) {
            0 => (acts, Some(503)),
            1 => (acts, None),
            _ => (false, Some(429)),
        }
    }

    fn create(&self, request: &str, began: Instant) -> (Option<u16>, String) {
        let (acts, status) = self.fate();
        let json = acts.then(|| self.ring(request, began));
        match (json, status) {
            (Some(json), Some(201)) => (Some(201), json),
            (_, Some(429)) => (Some(429), error("rate_limit")),
            (_, status) => (status, error("api")),
        }
    }

    /// Rings, once under a key; the call as it is placed.
    fn ring(&self, request: &str, began: Instant) -> String {
        let number = person(request);
        let life = Life::draw(self.seed ^ (number as u64) << 20);
        let (id, key, to) =
            (format!("call_{number}"), format!("day-{number}"), format!("{PREFIX}{number:07}"));
        let under_its_key = header(request, "idempotency-key") == Some(&key);
        let call = Rung::new(ACCOUNT.to_owned(), id, key, to, &self.clock, life);
        let json = call.json(life.at(Duration::ZERO));
        if self.tally.rang(number, under_its_key, began) {
            let call = Arc::new(call);
            self.listing.add(&call, Duration::from_millis(self.entropy.below(2_000)));
            self.callbacks.tell(&call);
        }
        json
    }
}

impl Peer for DayPeer {
    fn connects(&self) -> bool {
        !self.is_in(DOWN)
    }

    fn asked(&self, request: &str, began: Instant) -> Answer {
        let after = Duration::from_millis(20 + self.entropy.below(200));
        let bearer = header(request, "authorization").and_then(|value| value.strip_prefix("Bearer key-"));
        let accepted = bearer.and_then(|number| number.parse().ok());
        let accepted = accepted.is_some_and(|number| self.rotation.accepts(number, self.clock.since_start()));
        let is_create = request.starts_with("POST ");
        if is_create {
            self.tally.started(person(request), began);
        }
        let (status, body) = match (accepted, is_create) {
            _ if self.is_in(DOWN) => (None, String::new()),
            (false, _) => (Some(401), error("authentication")),
            (true, true) => self.create(request, began),
            (true, false) if self.is_in(LOST) => (Some(503), error("api")),
            (true, false) => {
                let target = request.split(' ').nth(1).unwrap_or_default();
                let (status, body) = self.listing.answer(ACCOUNT, target);
                (Some(status), body)
            }
        };
        if status == Some(401) {
            self.tally.refused_key();
        }
        let length = body.len();
        let head =
            |status| format!("HTTP/1.1 {status} X\r\nretry-after: 1\r\ncontent-length: {length}\r\n\r\n");
        Answer { after, text: status.map(|status| head(status) + &body) }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// The number in a key of the day.
pub(super) fn number(key: &str) -> usize {
    key.strip_prefix("day-")
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{key} is no key of the day"))
}

/// Whom a create rings: the number behind the prefix is that of the call.
fn person(request: &str) -> usize {
    let to = request.split_once(r#""to":""#).and_then(|(_, rest)| rest.split_once('"'));
    let number = to.and_then(|(to, _)| to.strip_prefix(PREFIX)).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("a create of the day names nobody of the day"))
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

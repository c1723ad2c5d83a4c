//! The provider with all its faces, and its book.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use trunkline::Clock;
use trunkline_core_types::{ClockExt, EntropyExt, MacKey, SeededEntropy, VirtualClock};

use super::book::{Book, Create};
use super::fate::Fate;
use super::message::{answer, header, word};
use super::plan::Plan;
use crate::simulation::callbacks::{Callbacks, Manners, Rung};
use crate::simulation::exchange::Answer;
use crate::simulation::jumps::Schedule;
use crate::simulation::listing::{Listing, error};
use crate::simulation::lives::Life;
use crate::simulation::rotation::text;

pub(super) const KEY: &str = "key";
pub(super) const SECRET: &str = "secret";

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    seed: u64,
    entropy: SeededEntropy,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) callbacks: Callbacks,
    listing: Listing,
    book: Mutex<Book>,
    bell: Notify,
}

impl World {
    pub(super) fn new(seed: u64, plan: &Plan, clock: Arc<VirtualClock>) -> Self {
        use trunkline::WebhookErrorKind::{Signature, Stale};
        let (rotation, time) = (plan.rotation.clone(), clock.clone());
        let mut explained = Vec::new();
        explained.extend((!plan.rotation.is_gentle(plan.length)).then_some(Signature));
        explained.extend((!plan.jumps.is_empty()).then_some(Stale));
        let secret = Box::new(move || {
            let since = time.since_start();
            // The older one while both hold: a client in the middle of a rotation knows it for sure.
            let current = rotation.current(since);
            let older = current.checked_sub(1).filter(|older| rotation.accepts(*older, since));
            text(SECRET, older.unwrap_or(current))
        });
        let manners = Manners { trouble: plan.trouble, secret, explained };
        Self {
            plan: plan.clone(),
            seed,
            entropy: SeededEntropy::new(seed.wrapping_add(1)),
            callbacks: Callbacks::new(seed, manners, clock.clone()),
            listing: Listing::new(clock.clone(), Duration::from_secs(86_400))
                .showing_keys(plan.keyed || plan.shows_keys),
            clock,
            book: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// The provider works without faults from now on.
    pub(super) fn calm(&self) {
        self.book().quiet = true;
    }

    /// The order of this key came to the client.
    pub(super) fn came(&self, key: &str) {
        self.book().calls.entry(key.to_owned()).or_default().came = Some(self.clock.now());
    }

    pub(super) fn asked(&self, account: usize, request: &str, began: Instant) -> Answer {
        let after = Duration::from_millis(20 + self.entropy.below(200));
        self.note(request.len() as u64 ^ (account as u64) << 32);
        let is_create = request.starts_with("POST ");
        if is_create {
            self.starts(account, began);
        }
        if !self.is_signed(request) {
            self.book().refused_keys += 1;
            return answer(after, Some(401), error("authentication"));
        }
        if is_create {
            return self.create(account, request, began);
        }
        let quiet = self.book().quiet;
        if !quiet && self.entropy.below(1_000) < self.plan.faults {
            return answer(after, [None, Some(503)][self.entropy.below(2) as usize], error("api"));
        }
        self.forget_live(account);
        let target = request.split(' ').nth(1).unwrap_or_default();
        let target =
            if self.plan.keyed { target.to_owned() } else { target.replace("idempotency_key=", "unknown=") };
        let (status, body) = self.listing.answer(&name(account), &target);
        answer(after, Some(status), body)
    }

    fn starts(&self, account: usize, began: Instant) {
        let since = self.clock.since_start() - self.clock.now().saturating_duration_since(began);
        let mut book = self.book();
        let schedule = || Schedule::new(self.plan.paces.clone(), self.plan.tolerance);
        let above = book.schedules.entry(account).or_insert_with(schedule).starts(since);
        book.pace_violations += u64::from(above);
    }

    /// Bearer key and body signature, both of a number that is still accepted.
    fn is_signed(&self, request: &str) -> bool {
        let accepted = |number: usize| self.plan.rotation.accepts(number, self.clock.since_start());
        let current = self.plan.rotation.current(self.clock.since_start());
        let numbers = current.saturating_sub(1)..=current;
        let bearer = header(request, "authorization").unwrap_or_default();
        let signature = header(request, "x-signature").unwrap_or_default();
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let keyed = |number: usize| bearer == format!("Bearer {}", text(KEY, number));
        let signed = |number: usize| {
            let secret = text(SECRET, number);
            MacKey::new(secret.as_bytes()).verify_x_signature(signature.as_bytes(), body.as_bytes())
        };
        let any =
            |fits: &dyn Fn(usize) -> bool| numbers.clone().any(|number| accepted(number) && fits(number));
        any(&keyed) && any(&signed)
    }

    fn create(&self, account: usize, request: &str, began: Instant) -> Answer {
        let key = header(request, "idempotency-key").unwrap_or_default().to_owned();
        let to = request.split_once(r#""to":""#).and_then(|(_, rest)| rest.split_once('"'));
        let to = to.map_or_else(String::new, |(to, _)| to.to_owned());
        let create = Create { account, key, to, began };
        let fate = self.draw(&create);
        let json = match fate.rings {
            Some(Duration::ZERO) => Some(self.ring(&create)),
            Some(later) => {
                let mut book = self.book();
                book.number += 1;
                let due = (self.clock.now() + later, book.number);
                book.later.insert(due, create);
                drop(book);
                self.bell.notify_one();
                None
            }
            None => None,
        };
        match (json, fate.status) {
            (Some(json), Some(201)) => answer(fate.after, Some(201), json),
            (_, status) => answer(fate.after, status, error(word(status))),
        }
    }

    /// What this request comes to; and that it may have been sent at all.
    fn draw(&self, create: &Create) -> Fate {
        let mut book = self.book();
        let faults = if book.quiet { 0 } else { self.plan.faults };
        let entry = book.calls.entry(create.key.clone()).or_default();
        let fate = Fate::draw(self.seed, &create.key, entry.requests, faults);
        entry.requests += 1;
        let (unclear, placed) = (entry.unclear, entry.placed);
        entry.unclear |= !fate.is_refusal();
        entry.bad |= fate.status == Some(400);
        if placed {
            book.wrong.push(format!("{} was sent again after it was placed", create.key));
        }
        if unclear && !self.plan.keyed {
            book.unproven.push(format!("{} was sent again without proof", create.key));
        }
        fate
    }

    /// Rings, under an honoured key once.
    fn ring(&self, create: &Create) -> String {
        let mut book = self.book();
        let number = book.rung;
        let entry = book.calls.entry(create.key.clone()).or_default();
        let at_start = |call: &Rung| call.json(call.life.at(Duration::ZERO));
        if self.plan.keyed
            && let Some(call) = &entry.call
        {
            return at_start(call);
        }
        let life = Life::draw(self.seed ^ number << 20);
        let (id, account) = (format!("call_{number}"), name(create.account));
        let call = Arc::new(Rung::new(account, id, create.key.clone(), create.to.clone(), &self.clock, life));
        entry.rings += 1;
        entry.rang.get_or_insert((create.began, self.clock.now()));
        entry.call.get_or_insert(call.clone());
        let held = entry.came.zip(self.plan.live_calls).map(|(came, (_, ttl))| came + ttl);
        book.rung += 1;
        if let Some(until) = held {
            book.live.insert((create.account, create.key.clone()), until);
        }
        book.check_live(&self.plan, create.account, self.clock.now());
        drop(book);
        self.listing.add(&call, Duration::from_millis(self.entropy.below(2_000)));
        self.callbacks.tell(&call);
        self.note(number);
        at_start(&call)
    }

    /// Rings what rings late, for as long as it is polled.
    pub(super) async fn ring_late(&self) {
        loop {
            let (due, create) = {
                let mut book = self.book();
                let due = book.later.first_key_value().map(|((at, _), _)| *at);
                let ready = due.is_some_and(|at| at <= self.clock.now());
                (due, ready.then(|| book.later.pop_first()).flatten())
            };
            match (create, due) {
                (Some((_, create)), _) => drop(self.ring(&create)),
                (None, Some(due)) => drop(self.clock.bounded(due, self.bell.notified()).await),
                (None, None) => self.bell.notified().await,
            }
        }
    }

    /// A reply or an event with an end may have told the client to give a lease back.
    fn forget_live(&self, account: usize) {
        let now = self.clock.now();
        let mut book = self.book();
        let Book { live, calls, .. } = &mut *book;
        live.retain(|(of, key), _| {
            let call = calls.get(key).and_then(|entry| entry.call.as_ref());
            let is_over = |call: &Arc<Rung>| call.life.at(now.saturating_duration_since(call.at)).rank() == 4;
            *of != account || !call.is_some_and(is_over)
        });
    }

    pub(super) fn lease_ends(&self, call: &Rung) {
        self.book().live.retain(|(_, key), _| *key != call.key);
    }

    /// Nobody can have been rung under the key: it may be sent again.
    pub(super) fn freed(&self, key: &str) {
        if let Some(entry) = self.book().calls.get_mut(key) {
            entry.unclear = false;
        }
    }

    /// Who is rung under a key.
    pub(super) fn person(&self, key: &str) -> u64 {
        let (kind, number) = key.split_once('-').unwrap();
        let kind = ["bulk", "single", "probe"].iter().position(|known| *known == kind).unwrap() as u64;
        (3 * number.parse::<u64>().unwrap() + kind) % self.plan.people
    }

    /// A call under this key that was never placed.
    pub(super) fn never(&self, key: &str) -> Arc<Rung> {
        let (account, id, life) = (name(0), format!("never_{key}"), Life::draw(0));
        Arc::new(Rung::new(account, id, key.to_owned(), "+14150000000".to_owned(), &self.clock, life))
    }

    /// The caller of a key knows that it rang.
    pub(super) fn placed(&self, key: &str) {
        if let Some(entry) = self.book().calls.get_mut(key) {
            entry.placed = true;
        }
    }

    pub(super) fn is_bad(&self, key: &str) -> bool {
        self.book().calls.get(key).is_some_and(|entry| entry.bad)
    }

    pub(super) fn rings(&self, key: &str) -> u32 {
        self.book().calls.get(key).map_or(0, |entry| entry.rings)
    }

    pub(super) fn rang(&self, key: &str) -> Option<(Instant, Instant)> {
        self.book().calls.get(key).and_then(|entry| entry.rang)
    }

    pub(super) fn wrong(&self, problem: String) {
        self.book().wrong.push(problem);
    }

    pub(super) fn problems(&self) -> Vec<String> {
        [self.book().wrong.clone(), self.callbacks.problems()].concat()
    }

    /// Creates after one of unknown outcome, without proof.
    pub(super) fn unproven(&self) -> Vec<String> {
        self.book().unproven.clone()
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.book().calls.values().map(|entry| u64::from(entry.rings.saturating_sub(1))).sum()
    }

    pub(super) fn refused_keys(&self) -> u64 {
        self.book().refused_keys
    }

    pub(super) fn pace_violations(&self) -> u64 {
        self.book().pace_violations
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

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// The name of an account.
pub(super) fn name(account: usize) -> String {
    format!("account-{account}")
}

//! The provider with all its faces, and its book.

mod asked;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use trunkline::Clock;
use trunkline_core_types::{ClockExt, Entropy, EntropyExt, VirtualClock};

use super::book::{Book, Create};
use super::plan::Plan;
use crate::simulation::callbacks::{Callbacks, Manners, Rung};
use crate::simulation::faults::Faults;
use crate::simulation::findings::Invariant;
use crate::simulation::listing::Listing;
use crate::simulation::lives::Life;
use crate::simulation::log::Log;
use crate::simulation::rotation::text;
use crate::simulation::{Flaw, Scenario};

pub(super) const KEY: &str = "key";
pub(super) const SECRET: &str = "secret";

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) faults: Arc<Faults>,
    pub(super) log: Arc<Log>,
    flaw: Option<Flaw>,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) callbacks: Callbacks,
    listing: Listing,
    book: Mutex<Book>,
    bell: Notify,
}

impl World {
    pub(super) fn new(
        seed: u64,
        plan: &Plan,
        faults: Faults,
        scenario: &Scenario,
        clock: Arc<VirtualClock>,
    ) -> Self {
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
        let faults = Arc::new(faults);
        let of_events = faults.clone();
        let happens = Box::new(move |name| of_events.happens(|| name));
        let manners = Manners { trouble: plan.trouble, happens, secret, explained };
        Self {
            plan: plan.clone(),
            faults,
            log: Arc::new(Log::new(scenario.told, clock.clone())),
            flaw: scenario.flaw,
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
        self.faults.end();
    }

    /// The order of this key came to the client.
    pub(super) fn came(&self, key: &str) {
        self.book().calls.entry(key.to_owned()).or_default().came = Some(self.clock.now());
    }

    /// Rings, under an honoured key once.
    fn ring(&self, create: &Create) -> String {
        let mut book = self.book();
        let entry = book.calls.entry(create.key.clone()).or_default();
        let at_start = |call: &Rung| call.json(call.life.at(Duration::ZERO));
        if self.plan.keyed
            && let Some(call) = &entry.call
        {
            return at_start(call);
        }
        let before = entry.rings;
        let life = Life::draw(self.faults.draw("life", &create.key, before.into()).next());
        let (id, account) = (format!("call_{}_{before}", create.key), name(create.account));
        let call = Arc::new(Rung::new(account, id, create.key.clone(), create.to.clone(), &self.clock, life));
        entry.rings += 1;
        entry.rang.get_or_insert((create.began, self.clock.now()));
        entry.call.get_or_insert(call.clone());
        let held = entry.came.zip(self.plan.live_calls).map(|(came, (_, ttl))| came + ttl);
        book.rung += 1;
        let number = book.rung;
        if let Some(until) = held {
            book.live.insert((create.account, create.key.clone()), until);
        }
        let too_many = book.too_many_live(&self.plan, create.account, self.clock.now());
        drop(book);
        let key = Some(&*create.key);
        self.log.tell("provider", key, || format!("rings, {} times by now", before + 1));
        if before > 0 {
            self.log.found(Invariant::Duplicates, key, format!("rung {} times", before + 1));
        }
        if let Some(live) = too_many {
            self.wrong(key, format!("{live} live calls at {}", call.account));
        }
        let lag = self.faults.draw("listed", &create.key, before.into()).below(2_000);
        self.listing.add(&call, Duration::from_millis(lag));
        self.callbacks.tell(&call);
        self.log.note(number);
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

    pub(super) fn wrong(&self, key: Option<&str>, problem: String) {
        self.log.found(Invariant::Misclassified, key, problem);
    }

    pub(super) fn refused_keys(&self) -> u64 {
        self.book().refused_keys
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// The name of an account.
pub(super) fn name(account: usize) -> String {
    format!("account-{account}")
}

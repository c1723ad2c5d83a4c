//! Everything that one run shares: the provider's book, the faults, and what is watched at every step.

mod asked;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use trunkline::BoxFuture;
use trunkline_core_types::{Clock, VirtualClock};

use super::Flaw;
use super::book::Book;
use super::faults::Faults;
use super::findings::Invariant;
use super::log::Log;
use super::pace::Starts;
use super::plan::Plan;
use super::process::{Pid, Roster};
use super::watch::{Watch, Wrong};

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) faults: Faults,
    pub(super) log: Arc<Log>,
    pub(super) roster: Roster,
    /// What is wrong with the provider in this run.
    flaw: Option<Flaw>,
    /// When the load is over.
    probing: Mutex<Option<Probing>>,
    state: Mutex<State>,
}

/// Calls that must all be in flight at one account before the first one is answered.
#[derive(Debug, Clone)]
struct Probing {
    account: usize,
    missing: Arc<watch::Sender<usize>>,
}

#[derive(Debug)]
struct State {
    book: Book,
    watch: Watch,
    starts: BTreeMap<(usize, Pid), Starts>,
}

impl World {
    pub(super) fn new(
        plan: Plan,
        faults: Faults,
        flaw: Option<Flaw>,
        told: bool,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let state = State { book: Book::new(plan.keyed), watch: Watch::default(), starts: BTreeMap::new() };
        Self {
            plan,
            log: Arc::new(Log::new(told, clock.clone())),
            clock,
            faults,
            roster: Roster::default(),
            flaw,
            probing: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.since_start()
    }

    pub(super) fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.clock.now() + time)
    }

    pub(super) fn tell(&self, who: &'static str, key: Option<&str>, what: impl FnOnce() -> String) {
        self.log.tell(who, key, what);
    }

    pub(super) fn found(&self, invariant: Invariant, key: Option<&str>, words: String) {
        self.log.found(invariant, key, words);
    }

    pub(super) fn note(&self, word: u64) {
        self.log.note(word);
    }

    fn check(&self, key: &str, wrong: Option<Wrong>) {
        if let Some((invariant, words)) = wrong {
            self.found(invariant, Some(key), words);
        }
    }

    pub(super) fn times_rung(&self, key: &str) -> u32 {
        self.state().book.times_rung(key)
    }
}

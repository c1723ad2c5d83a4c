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
use super::findings::{Findings, Found, Invariant};
use super::pace::Starts;
use super::plan::Plan;
use super::process::{Pid, Roster};
use super::story::{Event, Story};
use super::watch::{Watch, Wrong};

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) faults: Faults,
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
    findings: Findings,
    story: Option<Story>,
    trace: u64,
}

impl World {
    pub(super) fn new(
        plan: Plan,
        faults: Faults,
        flaw: Option<Flaw>,
        told: bool,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let state = State {
            book: Book::new(plan.keyed),
            watch: Watch::default(),
            starts: BTreeMap::new(),
            findings: Findings::default(),
            story: told.then(Story::default),
            trace: 0,
        };
        Self {
            plan,
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

    /// A line of the story, if it is kept.
    pub(super) fn tell(&self, who: &'static str, key: Option<&str>, what: impl FnOnce() -> String) {
        let at = self.now();
        if let Some(story) = &mut self.state().story {
            story.add(Event { at, who, key: key.map(str::to_owned), what: what() });
        }
    }

    /// Something does not hold.
    pub(super) fn found(&self, invariant: Invariant, key: Option<&str>, words: String) {
        self.tell("check", key, || format!("{}: {words}", invariant.name()));
        let found = Found { at: self.now(), key: key.map(str::to_owned), invariant, words };
        self.state().findings.add(found);
    }

    fn check(&self, key: &str, wrong: Option<Wrong>) {
        if let Some((invariant, words)) = wrong {
            self.found(invariant, Some(key), words);
        }
    }

    /// Adds a word and the time to the trace, whose hash two runs of one seed must share.
    pub(super) fn note(&self, word: u64) {
        let since = u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state();
        for part in [word, since] {
            state.trace = (state.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.state().trace
    }

    pub(super) fn count(&self, invariant: Invariant) -> u64 {
        self.state().findings.count(invariant)
    }

    pub(super) fn first_found(&self) -> Vec<Found> {
        self.state().findings.kept().to_vec()
    }

    pub(super) fn story(&self) -> Story {
        self.state().story.take().unwrap_or_default()
    }

    pub(super) fn times_rung(&self, key: &str) -> u32 {
        self.state().book.times_rung(key)
    }
}

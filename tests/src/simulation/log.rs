//! What is found and told in a run, each with its time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use trunkline_core_types::{Fact, Observer, VirtualClock};

use super::findings::{Findings, Found, Invariant};
use super::story::{Event, Story};

#[derive(Debug)]
pub(super) struct Log {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    findings: Findings,
    story: Option<Story>,
    trace: u64,
}

impl Log {
    /// `told` keeps the story too.
    pub(super) fn new(told: bool, clock: Arc<VirtualClock>) -> Self {
        let state = State { findings: Findings::default(), story: told.then(Story::default), trace: 0 };
        Self { clock, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> Duration {
        self.clock.since_start()
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
}

/// Facts of the layers become lines of the story.
#[derive(Debug)]
pub(super) struct Facts(pub(super) Arc<Log>);

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        if let Some((who, what)) = words(&fact) {
            self.0.tell(who, None, || what);
        }
    }
}

/// A fact that the other lines do not tell.
fn words(fact: &Fact) -> Option<(&'static str, String)> {
    Some(match fact {
        Fact::Permitted { lane, waited } => {
            ("limiter", format!("a {} permit after {} ms", lane.as_str(), waited.as_millis()))
        }
        Fact::Denied { lane, kind } => ("limiter", format!("no {} permit: {kind:?}", lane.as_str())),
        Fact::LatePermit { by } => ("limiter", format!("a permit was {} ms too late", by.as_millis())),
        Fact::Throttled { pause } => ("limiter", format!("pauses for {} ms", pause.as_millis())),
        Fact::Retried { class, after, .. } => {
            ("retry", format!("again in {} ms after {class}", after.as_millis()))
        }
        Fact::RetryRefused { class, .. } => {
            ("retry", format!("the budget does not pay for another try after {class}"))
        }
        Fact::Breaker { state } => ("breaker", state.as_str().to_owned()),
        Fact::StaleConnection => ("pool", "a pooled connection was dead".to_owned()),
        Fact::JournalFailed { step } => ("journal", format!("{step} failed")),
        _ => return None,
    })
}

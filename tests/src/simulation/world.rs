//! Everything that one run shares: the provider's book, the faults, and what is watched at every step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use trunkline::BoxFuture;
use trunkline_core_types::{Claim, Class, Clock, VirtualClock};

use super::Flaw;
use super::book::{Book, refusal};
use super::fate::{Acts, Fate};
use super::faults::Faults;
use super::findings::{Findings, Found, Invariant};
use super::pace::Starts;
use super::plan::Plan;
use super::process::{Pid, Process, Roster};
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

/// What reaches the provider.
impl World {
    pub(super) fn door_is_shut(&self, account: usize) -> bool {
        self.faults.door_is_shut(account, self.now())
    }

    /// What becomes of the request that begins now.
    pub(super) fn fate(&self, account: usize, key: &str) -> (u64, Fate) {
        let number = self.state().book.number(key);
        let mut fate = self.faults.fate(account, key, number);
        if let Some(probing) = &*self.probing.lock().unwrap() {
            fate.acts = if probing.account == account { Acts::Yes } else { Acts::No(402) };
        }
        self.tell("fault", Some(key), || format!("request {number} at account {account}: {fate}"));
        (number, fate)
    }

    /// The first byte of a create came, which the client began to write at `began`.
    pub(super) fn starts(&self, by: Pid, account: usize, key: &str, began: Instant) {
        self.note(account as u64);
        let at = self.now().saturating_sub(self.clock.now().saturating_duration_since(began));
        let mut state = self.state();
        let starts = state.starts.entry((account, by)).or_default();
        let (within, paused) = (starts.add(&self.plan, at), starts.in_pause(&self.plan, at));
        drop(state);
        if !within {
            self.found(
                Invariant::Pace,
                Some(key),
                format!("a start of {by} at account {account} above the bound"),
            );
        }
        if paused {
            let words = format!("a start of {by} at account {account} in a pause that it was asked for");
            self.found(Invariant::Pace, Some(key), words);
        }
    }

    /// Some bytes of a create were taken.
    pub(super) fn took(&self, by: Pid, key: &str) {
        let wrong = self.state().watch.byte(by, key, self.plan.keyed);
        self.check(key, wrong);
    }

    /// Acts on a whole create; gives the reply.
    pub(super) fn create(&self, key: &str, body: &str, acts: Acts) -> String {
        let hash = |text: &str| text.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        self.note(hash(key));
        let wrong = self.state().watch.whole(key, hash(body));
        self.check(key, wrong);
        let (reply, rung) = {
            let mut state = self.state();
            let flawed = self.flaw == Some(Flaw::RefusesYetRings) && !self.faults.are_over();
            if flawed && matches!(acts, Acts::No(_)) {
                state.book.ring(key);
            }
            (state.book.create(key, acts), state.book.times_rung(key))
        };
        let status = || reply.get(9..12).unwrap_or("nothing").to_owned();
        self.tell("provider", Some(key), || format!("has rung {rung} times and will answer {}", status()));
        if rung > 1 && matches!(acts, Acts::Yes | Acts::YesAnswers(_)) {
            self.found(Invariant::Duplicates, Some(key), format!("rung {rung} times"));
        }
        reply
    }

    /// Answers a request that places no call.
    pub(super) fn read(&self, _target: &str, acts: Acts) -> String {
        match acts {
            Acts::Yes => refusal(404),
            Acts::YesAnswers(status) | Acts::No(status) => refusal(status),
            Acts::Silent => String::new(),
        }
    }

    /// When a reply may leave: after its delay, and in the end when all that must be in flight are.
    pub(super) fn reply_time(&self, account: usize, delay: Duration) -> BoxFuture<'static, ()> {
        let probing = self.probing.lock().unwrap().clone().filter(|probing| probing.account == account);
        let Some(Probing { missing, .. }) = probing else { return self.pause(delay) };
        missing.send_modify(|missing| *missing = missing.saturating_sub(1));
        Box::pin(async move {
            let _ = missing.subscribe().wait_for(|missing| *missing == 0).await;
        })
    }

    /// The load is over: no fault happens any more.
    pub(super) fn calm(&self) {
        self.faults.end();
    }

    /// From now on only this account places calls, and answers when so many are in flight.
    pub(super) fn probes(&self, account: usize, many: usize) {
        let missing = Arc::new(watch::Sender::new(many));
        *self.probing.lock().unwrap() = Some(Probing { account, missing });
    }

    /// The client has read a reply to its end.
    pub(super) fn was_read(&self, by: Pid, account: usize, fate: &Fate) {
        if fate.acts == Acts::No(429) && fate.cut.is_none() {
            let now = self.now();
            self.state().starts.entry((account, by)).or_default().throttled(now);
        }
    }
}

/// What the journal is told, and what the callers hear.
impl World {
    /// A step of the journal at which the process may die; true if it does.
    pub(super) fn crashes(&self, process: &Process, step: &'static str, key: &str, number: u64) -> bool {
        if !process.is_dead() && self.faults.crashes(step, key, number) {
            self.tell("crash", Some(key), || format!("{} dies {step} {number}", process.pid));
            self.dies(process);
        }
        process.is_dead()
    }

    pub(super) fn dies(&self, process: &Process) {
        process.kill();
        self.state().watch.died(process.pid);
        self.note(0xdead ^ process.pid.process as u64);
    }

    pub(super) fn claimed(&self, by: Pid, key: &str, claim: &Claim) {
        self.tell("journal", Some(key), || match claim {
            Claim::Go { number } => format!("{by} claims the key and may dial attempt {number}"),
            Claim::Open => format!("{by} asks for the key: its outcome is open"),
            Claim::Settled(class, _) => format!("{by} asks for the key: settled as {class}"),
            Claim::Mismatch => format!("{by} asks for the key: it belongs to another call"),
        });
        let wrong = self.state().watch.claimed(by, key, claim);
        self.check(key, wrong);
    }

    pub(super) fn begins(&self, by: Pid, key: &str) {
        let now = self.now();
        self.state().watch.begins(by, key, now);
    }

    pub(super) fn begun(&self, by: Pid, key: &str, number: u32) {
        self.tell("journal", Some(key), || format!("attempt {number} of {by} is noted as in flight"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.begun(by, key, number, rung);
        self.check(key, wrong);
    }

    pub(super) fn ended(&self, by: Pid, key: &str, number: u32, class: Class) {
        self.tell("client", Some(key), || format!("attempt {number} of {by} ended {class}"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.ended(by, key, number, class, rung);
        self.check(key, wrong);
    }

    pub(super) fn settled(&self, by: Pid, key: &str, class: Class) {
        self.tell("client", Some(key), || format!("{by} settles the call as {class}"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.settled(key, class, rung);
        self.check(key, wrong);
    }

    /// The provider said that it knows no such call, after all its delays.
    #[expect(dead_code, reason = "listings and look-ups come next")]
    pub(super) fn disproved(&self, key: &str) {
        self.tell("provider", Some(key), || "says that it has no such call".to_owned());
        self.state().watch.disproved(key);
    }

    /// How long ago the first attempt of the call that is answered now was noted by this process.
    pub(super) fn since_begin(&self, by: Pid, key: &str) -> Option<Duration> {
        let now = self.now();
        self.state().watch.answered(by, key, now)
    }
}

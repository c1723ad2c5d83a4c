//! What the journal is told, and what the callers hear.

use std::time::Duration;

use trunkline_core_types::{Claim, Class};

use super::World;
use crate::end::End;
use crate::simulation::findings::Invariant;
use crate::simulation::process::{Pid, Process};

impl World {
    /// A step of the journal at which the process may die; true if it does.
    pub(in crate::simulation) fn crashes(
        &self,
        process: &Process,
        step: &'static str,
        key: &str,
        number: u64,
    ) -> bool {
        if !process.is_dead() && self.faults.crashes(step, key, number) {
            self.tell("crash", Some(key), || format!("{} dies {step} {number}", process.pid));
            self.dies(process);
        }
        process.is_dead()
    }

    pub(in crate::simulation) fn dies(&self, process: &Process) {
        process.kill();
        self.state().watch.died(process.pid);
        self.note(0xdead ^ process.pid.process as u64);
    }

    pub(in crate::simulation) fn claimed(&self, by: Pid, key: &str, claim: &Claim) {
        self.tell("journal", Some(key), || match claim {
            Claim::Go { number } => format!("{by} claims the key and may dial attempt {number}"),
            Claim::Open => format!("{by} asks for the key: its outcome is open"),
            Claim::Settled(class, _) => format!("{by} asks for the key: settled as {class}"),
            Claim::Mismatch => format!("{by} asks for the key: it belongs to another call"),
        });
        let rung = self.times_rung(key);
        let wrong = self.state().watch.claimed(by, key, claim, rung);
        self.check(key, wrong);
    }

    pub(in crate::simulation) fn begins(&self, by: Pid, key: &str) {
        let now = self.now();
        self.state().watch.begins(by, key, now);
    }

    pub(in crate::simulation) fn begun(&self, by: Pid, key: &str, number: u32) {
        self.tell("journal", Some(key), || format!("attempt {number} of {by} is noted as in flight"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.begun(by, key, number, rung);
        self.check(key, wrong);
    }

    pub(in crate::simulation) fn ended(&self, by: Pid, key: &str, number: u32, class: Class) {
        self.tell("client", Some(key), || format!("attempt {number} of {by} ended {class}"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.ended(by, key, number, class, rung);
        self.check(key, wrong);
    }

    pub(in crate::simulation) fn settled(&self, by: Pid, key: &str, class: Class) {
        self.tell("client", Some(key), || format!("{by} settles the call as {class}"));
        let rung = self.times_rung(key);
        let wrong = self.state().watch.settled(key, class, rung);
        self.check(key, wrong);
    }

    /// The provider said that it knows no such call, after all its delays.
    #[expect(dead_code, reason = "listings and look-ups come next")]
    pub(in crate::simulation) fn disproved(&self, key: &str) {
        self.tell("provider", Some(key), || "says that it has no such call".to_owned());
        self.state().watch.disproved(key);
    }

    /// All callers have their answers: every attempt and call must have its end.
    pub(in crate::simulation) fn all_ended(&self) {
        let loose: Vec<_> = self.state().watch.loose().map(|(key, words)| (key.to_owned(), words)).collect();
        for (key, words) in loose {
            self.found(Invariant::Leaked, Some(&key), words);
        }
    }

    /// A caller has its answer, which must be what the book says.
    pub(in crate::simulation) fn heard(&self, key: &str, end: End) {
        self.tell("caller", Some(key), || format!("the call ends {end:?}"));
        let rung = self.times_rung(key);
        let agrees = match end {
            End::Placed => rung == 1,
            End::Rejected | End::Unsent => rung == 0,
            End::Ambiguous | End::Dropped => rung <= 1,
        };
        if !agrees {
            let words = format!("the call ended {end:?} and was rung {rung} times");
            self.found(Invariant::Misclassified, Some(key), words);
        }
    }

    /// How long ago the first attempt of the call that is answered now was noted by this process.
    pub(in crate::simulation) fn since_begin(&self, by: Pid, key: &str) -> Option<Duration> {
        let now = self.now();
        self.state().watch.answered(by, key, now)
    }
}

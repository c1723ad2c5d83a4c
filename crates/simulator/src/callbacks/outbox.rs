//! What is to be done when, in order of time. Pure over the time it is handed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::event::Event;
use super::faults::{CallbackFault, CallbackFaults, Source};

/// The most jobs that wait; further ones are dropped, as of a service that is overwhelmed.
const MAX_JOBS: usize = 1_000_000;

#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// Look what became of this call.
    Look(usize),
    /// Send this event, which was sent so often before.
    Send(Arc<Event>, u32),
}

/// The jobs of all calls.
#[derive(Debug)]
pub(crate) struct Outbox {
    jobs: BTreeMap<(Instant, u64), Job>,
    next: u64,
    /// Calls with an event under way: the next one waits, so that a call's events leave in their order.
    busy: HashSet<usize>,
    faults: Source,
}

impl Outbox {
    pub(crate) fn new(chances: CallbackFaults, seed: u64) -> Self {
        Self { jobs: BTreeMap::new(), next: 0, busy: HashSet::new(), faults: Source::new(chances, seed) }
    }

    pub(crate) fn push(&mut self, at: Instant, job: Job) {
        if self.jobs.len() < MAX_JOBS {
            self.jobs.insert((at, self.next), job);
            self.next += 1;
        }
    }

    /// The first job that is due and whose call has nothing under way.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Job> {
        let mut due = self.jobs.range(..=(now, u64::MAX));
        let key = *due.find(|(_, job)| self.is_free(job))?.0;
        let job = self.jobs.remove(&key)?;
        if let Job::Send(event, _) = &job {
            self.busy.insert(event.call);
        }
        Some(job)
    }

    /// When the next job is due that waits for nothing but its time.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.jobs.iter().find(|(_, job)| self.is_free(job)).map(|((at, _), _)| *at)
    }

    /// The call's event under way has ended.
    pub(crate) fn free(&mut self, call: usize) {
        self.busy.remove(&call);
    }

    pub(crate) fn draw(&mut self) -> Option<CallbackFault> {
        self.faults.draw()
    }

    /// False if the queue of faults is full.
    pub(crate) fn fault_next(&mut self, fault: CallbackFault) -> bool {
        self.faults.push(fault)
    }

    fn is_free(&self, job: &Job) -> bool {
        match job {
            Job::Look(_) => true,
            Job::Send(event, _) => !self.busy.contains(&event.call),
        }
    }
}

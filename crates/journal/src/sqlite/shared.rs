//! What the handle and the writer share: the table, the queue, and the bound of both.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline_core_types::{
    CallEvent, CallId, CallRef, CallState, CallStatus, Claim, Class, Clock, EventId, Heard, IdempotencyKey,
    Intent, JournalError, JournalErrorKind,
};

use super::entry::PlacedAs;
use super::error::closed;
use super::table::Table;
use crate::life::state;
use crate::sync::{Condvar, Mutex, MutexGuard, oneshot};

/// Steps that wait for the writer at once; beyond them callers wait for a place.
pub(super) const QUEUE: usize = 1_024;

/// Proofs about keys that are only in the file, waiting for the writer; beyond them `settle` fails.
const PROOFS: usize = 65_536;

/// Events remembered whose answer nobody saw; their senders repeat them soon.
const UNHEARD: usize = 1_024;

/// How long the writer rests before it looks after old rows, after rows that could not be written, between batches of old rows.
const REST: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);
const BREATH: Duration = Duration::from_millis(20);
/// How long an end waits for the next begin to be written with it: the calls that a crash leaves open are those of so much time more.
const ENDS: Duration = Duration::from_millis(2);
/// How long a claim may wait for its first begin to be written with it.
const LINGER: Duration = Duration::from_millis(50);

/// A step for the writer.
#[derive(Debug)]
pub(super) enum Step {
    Claim(Arc<Intent>, Told<Claim>),
    /// The table has the attempt; it is to be written.
    Begin(IdempotencyKey, u32, Told<Claim>),
    /// A proof about a key that is only in the file.
    Settle(IdempotencyKey, Class, Option<Bytes>),
    Open {
        fenced_before: SystemTime,
        after: Option<IdempotencyKey>,
        limit: usize,
        told: Told<Vec<Arc<Intent>>>,
    },
    Sweep(Told<u32>),
    Hear(CallRef, Box<CallEvent>, Told<Heard>),
    State(CallRef, Told<Option<CallState>>),
    /// What a provider made of a key that is only in the file.
    Placed(IdempotencyKey, PlacedAs),
    KeyOf(CallRef, Told<Option<IdempotencyKey>>),
}

/// Where an answer goes, with the place in the queue that it frees.
#[derive(Debug)]
pub(super) struct Told<T> {
    pub(super) to: oneshot::Sender<Result<T, JournalError>>,
    _place: OwnedSemaphorePermit,
}

/// What a claim or a begin was given, to be taken back if nobody sees it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grant {
    Claim,
    Begin(u32),
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Condvar,
    queue: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) table: Table,
    steps: Vec<Step>,
    proofs: usize,
    /// Proofs whose row could not be read; they are judged again with the next steps.
    put_off: Vec<Step>,
    /// Proofs that did not fit the file.
    pub(super) refused: u64,
    /// Events in the file whose answer nobody saw, newest last.
    unheard: VecDeque<(CallRef, EventId)>,
    closing: bool,
    /// The writer waits for a begin to take what ended along.
    lingers: bool,
    tried_last: bool,
}

impl State {
    fn take(&mut self) -> Vec<Step> {
        self.proofs = 0;
        let mut steps = mem::take(&mut self.put_off);
        steps.append(&mut self.steps);
        steps
    }

    /// The file did not give the row of a proof.
    pub(super) fn put_off(&mut self, key: IdempotencyKey, class: Class, reply: Option<Bytes>) {
        self.proofs += 1;
        self.put_off.push(Step::Settle(key, class, reply));
    }

    /// Keys whose last change failed to be written or judged.
    pub(super) fn unwritten(&self) -> usize {
        self.table.stuck() + self.put_off.len()
    }

    /// Whether the last write of this key failed, or its proof could not be judged.
    pub(super) fn is_unwritten(&self, key: &IdempotencyKey) -> bool {
        let is_of = |step: &Step| matches!(step, Step::Settle(of, ..) if of == key);
        self.table.is_stuck(key) || self.put_off.iter().any(is_of)
    }
}

impl Shared {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let queue = Arc::new(Semaphore::new(QUEUE));
        Self { clock, state: Mutex::default(), wake: Condvar::new(), queue }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No step panics half-way, so a poisoned lock still guards whole entries.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place and queues the step that `make` builds under the lock, in one with what it does to the table.
    pub(super) async fn ask<T>(
        &self,
        name: &str,
        make: impl FnOnce(&mut Table, Told<T>) -> Result<Step, JournalError>,
    ) -> Result<oneshot::Receiver<Result<T, JournalError>>, JournalError> {
        let place = self.queue.clone().acquire_owned().await.map_err(|_| closed(name))?;
        let (to, answer) = oneshot::channel();
        let mut state = self.lock();
        if state.closing {
            return Err(closed(name));
        }
        let step = make(&mut state.table, Told { to, _place: place })?;
        state.steps.push(step);
        drop(state);
        self.wake.notify_one();
        Ok(answer)
    }

    pub(super) fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let mut state = self.lock();
        if state.closing {
            return Err(closed("end"));
        }
        state.table.end(key, number, class, reply)?;
        self.tell(state);
        Ok(())
    }

    /// With the number of a claim, for its claimer; else with proof.
    pub(super) fn settle(
        &self,
        key: &IdempotencyKey,
        claim: Option<u32>,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let now = self.clock.wall();
        let mut shared = self.lock();
        if shared.closing {
            return Err(closed("settle"));
        }
        if shared.table.knows(key) {
            shared.table.settle(key, claim, class, reply, now)?;
        } else if class == Class::Ambiguous || (claim.is_some() && class != Class::Accepted) {
            // Only a claimer gives up, and whoever claimed here is in the table.
            return Err(state("settle: nobody in this process holds the key; claim it first"));
        } else if shared.proofs == PROOFS {
            let message = format!("settle: {PROOFS} proofs wait to be written; try again later");
            return Err(JournalError::new(JournalErrorKind::Full, message));
        } else {
            shared.proofs += 1;
            shared.steps.push(Step::Settle(key.clone(), class, reply));
        }
        self.tell(shared);
        Ok(())
    }

    pub(super) fn placed(&self, key: &IdempotencyKey, id: &CallId, status: &CallStatus) {
        let mut state = self.lock();
        if state.closing {
            return;
        }
        let placed = (id.clone(), status.clone());
        if state.table.knows(key) {
            state.table.placed(key, placed);
        } else if state.proofs < PROOFS {
            state.proofs += 1;
            state.steps.push(Step::Placed(key.clone(), placed));
        }
        self.tell(state);
    }

    /// Takes back what nobody saw: a key that nobody holds frees, an attempt that nobody made did not go out.
    pub(super) fn take_back(&self, key: &IdempotencyKey, grant: Grant) {
        let now = self.clock.wall();
        let mut state = self.lock();
        match grant {
            Grant::Claim => state.table.unclaim(key, now),
            // The layer above may have ended it better before.
            Grant::Begin(number) => drop(state.table.end(key, number, Class::Unsent, None)),
        }
        self.tell(state);
    }

    /// An event was taken and nobody saw the answer.
    pub(super) fn note_unheard(&self, call: &CallRef, event: &EventId) {
        let unheard = &mut self.lock().unheard;
        if unheard.len() == UNHEARD {
            unheard.pop_front();
        }
        unheard.push_back((call.clone(), event.clone()));
    }

    /// Whether nobody saw the answer to an event, which from now on somebody did.
    pub(super) fn was_unheard(&self, call: &CallRef, event: &EventId) -> bool {
        let unheard = &mut self.lock().unheard;
        let at = unheard.iter().position(|known| (&known.0, &known.1) == (call, event));
        at.and_then(|at| unheard.remove(at)).is_some()
    }

    /// Wakes the writer, unless it waits already for what comes after this.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let lingers = state.lingers && state.steps.is_empty();
        drop(state);
        if !lingers {
            self.wake.notify_one();
        }
    }

    /// Waits for steps, for something to write, or for the next look after the rows, soon if there are `more` to delete; none once it is
    /// closed and all is taken.
    pub(super) fn next(&self, more: bool) -> Option<Vec<Step>> {
        let mut state = self.lock();
        while state.steps.is_empty() {
            let (quiet, clean) = (state.table.has_quiet(), state.table.is_clean());
            let stuck = state.unwritten() > 0;
            if state.closing && clean {
                let once_more = stuck && !mem::replace(&mut state.tried_last, true);
                return once_more.then(|| state.take());
            }
            if state.closing {
                break;
            }
            let rest = match (clean, more, quiet, stuck) {
                (false, ..) => ENDS,
                (_, true, ..) => BREATH,
                (_, _, true, _) => LINGER,
                (.., true) => RETRY,
                _ => REST,
            };
            state.lingers = !clean;
            let (woken, waited) = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.lingers = false;
            if waited.timed_out() {
                state.table.ripen();
                break;
            }
        }
        Some(state.take())
    }

    /// Takes nothing more; what was taken is still written.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.table.ripen();
        drop(state);
        self.queue.close();
        self.wake.notify_one();
    }

    /// The writer is gone: whoever still waits is told so.
    pub(super) fn abandon(&self) {
        self.close();
        let steps = mem::take(&mut self.lock().steps);
        drop(steps);
    }
}

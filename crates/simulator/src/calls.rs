//! The calls that were placed, found by id, number and key, in order of creation.

mod life;
mod view;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use life::CallLife;
pub(crate) use life::Progress;
pub(crate) use view::{CallView, PageView, moment};

use crate::book::BookedCall;
use crate::callbacks::Target;
use crate::draft::Draft;
use crate::query::Query;
use crate::reply::Refusal;

/// The most calls one simulator keeps; more are answered 529 `overloaded`, because a book that forgets is no judge.
pub(crate) const MAX_CALLS: usize = 1_000_000;

/// One placed call. What time does to it is computed when it is read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) draft: Draft,
    pub(crate) key: Option<String>,
    pub(crate) placed: Instant,
    pub(crate) created: Timestamp,
    pub(crate) hung_up: Option<Instant>,
    /// Where its events go, if anywhere.
    pub(crate) target: Option<Target>,
    /// The rank of the last step that its events told.
    pub(crate) told: u8,
}

impl Call {
    pub(crate) fn progress(&self, life: &CallLife, now: Instant) -> Progress {
        self.progress_at(life, self.age(now))
    }

    /// Where it stood, or will stand, at this age.
    pub(crate) fn progress_at(&self, life: &CallLife, age: Duration) -> Progress {
        life.progress(self.limits(), self.hung_up.map(|at| self.age(at)), age)
    }

    /// The age at which its next step begins, if nobody hangs up.
    pub(crate) fn next_step(&self, life: &CallLife, now: Instant) -> Option<Duration> {
        life.next_step(self.limits(), self.age(now))
    }

    fn age(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.placed)
    }

    fn limits(&self) -> (u32, u32) {
        (self.draft.ring_timeout, self.draft.max_duration)
    }
}

/// All calls. Holds at most [`MAX_CALLS`].
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
    by_id: HashMap<String, usize>,
    by_number: HashMap<String, Vec<usize>>,
}

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn people(&self) -> usize {
        self.by_number.len()
    }

    pub(crate) fn times_rung(&self, number: &str) -> usize {
        self.by_number.get(number).map_or(0, Vec::len)
    }

    pub(crate) fn full(&self) -> bool {
        self.calls.len() >= MAX_CALLS
    }

    /// Books a ring and answers its place in the order of creation.
    pub(crate) fn place(&mut self, call: Call) -> usize {
        let index = self.calls.len();
        self.by_id.insert(call.id.clone(), index);
        self.by_number.entry(call.draft.to.clone()).or_default().push(index);
        self.calls.push(call);
        index
    }

    pub(crate) fn at(&self, index: usize) -> Option<&Call> {
        self.calls.get(index)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Call> {
        self.by_id.get(id).and_then(|index| self.calls.get(*index))
    }

    /// Ends a call that has not ended; its place in the order of creation, if there is such a call.
    pub(crate) fn hang_up(&mut self, id: &str, life: &CallLife, now: Instant) -> Option<usize> {
        let index = *self.by_id.get(id)?;
        let call = self.calls.get_mut(index)?;
        if call.progress(life, now).ended.is_none() {
            call.hung_up = Some(now);
        }
        Some(index)
    }

    /// Notes that the events up to this rank were made.
    pub(crate) fn tell(&mut self, index: usize, rank: u8) {
        if let Some(call) = self.calls.get_mut(index) {
            call.told = rank;
        }
    }

    pub(crate) fn booked(&self, life: &CallLife, now: Instant) -> Vec<BookedCall> {
        self.calls.iter().map(|call| view::booked(call, call.progress(life, now))).collect()
    }

    /// The page a query asks for, and whether more follow. A look-up by key sees at once what a listing sees after `lag`.
    pub(crate) fn page(
        &self,
        query: &Query,
        lag: Duration,
        now: Instant,
    ) -> Result<(Vec<&Call>, bool), Refusal> {
        let start = match query.after.as_deref() {
            None => 0,
            Some(id) => {
                1 + self.by_id.get(id).ok_or_else(|| Refusal::invalid("after", "not the id of a call"))?
            }
        };
        let lag = if query.idempotency_key.is_some() { Duration::ZERO } else { lag };
        let shown = |call: &&Call| {
            query.created_after.is_none_or(|since| call.created >= since)
                && (query.idempotency_key.is_none() || query.idempotency_key == call.key)
                && now.saturating_duration_since(call.placed) >= lag
        };
        let limit = query.limit.unwrap_or(20);
        let mut found: Vec<&Call> = match query.to.as_deref() {
            Some(to) => {
                let of_number = self.by_number.get(to).map_or(&[][..], Vec::as_slice);
                let later = of_number.iter().filter(|index| **index >= start);
                later.filter_map(|index| self.calls.get(*index)).filter(shown).take(limit + 1).collect()
            }
            None => self.calls.iter().skip(start).filter(shown).take(limit + 1).collect(),
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }
}

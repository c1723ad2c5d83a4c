//! A batch on its way: rows in, results out, each key dialled once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use trunkline_core_types::{AttemptJournal, Class, IdempotencyKey, Lane, Scope};

use super::{Batch, RowResult, Tally};
use crate::{Client, Error, ErrorKind, Order, PlaceAll, Placed};

/// How a batch is placed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BatchSettings {
    /// The line in which its calls wait. Default: bulk.
    pub lane: Option<Lane>,
    /// The time of each call from its first permit. Default: the account's total, 30 s.
    pub timeout: Option<Duration>,
    /// The most calls that are dialled; rows that were settled before do not count. Default: all.
    pub limit: Option<u64>,
    /// Dials rows again whose outcome an earlier run left unknown and nobody has settled since. **It can ring a person twice**: the call
    /// may have been placed and only its answer lost. It goes out under its old key, so a provider that honours keys replays the
    /// answer as long as it remembers the key, and rings once more after that. Default: false.
    pub redial_unknown: bool,
    /// Takes no more rows after so many in a row that could not be sent or that the account was refused: the key is wrong, the money
    /// gone, the journal's disk full. 0: never. Default: 100.
    pub give_up_after: u32,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { lane: None, timeout: None, limit: None, redial_unknown: false, give_up_after: 100 }
    }
}

impl Client {
    /// Places the rows of a file, no more at once than the pacer serves. What the journal has settled rings nobody again, so the same
    /// file over the same journal goes on where an earlier run stopped.
    pub fn place_batch(&self, batch: Batch, settings: BatchSettings) -> BatchRun {
        let journal = self.journal().clone();
        let desk = Arc::new(Mutex::new(Desk::new(batch, settings)));
        let calls = self.place_all(Intake(desk.clone()));
        BatchRun { calls, desk, journal, tally: Tally::default() }
    }
}

/// The results of [`Client::place_batch`], in the order in which they come. An error means that the file cannot be read any further; the
/// calls under way still end. Dropping it gives up what is under way.
#[must_use = "nothing is placed until the stream is polled"]
pub struct BatchRun {
    calls: PlaceAll,
    desk: Arc<Mutex<Desk>>,
    journal: Arc<dyn AttemptJournal>,
    tally: Tally,
}

impl BatchRun {
    /// Takes no more rows; those under way go on.
    pub fn stop(&mut self) {
        lock(&self.desk).stopped = true;
    }

    /// Whether it took no more rows because too many in a row failed for a reason that is not theirs.
    pub fn gave_up(&self) -> bool {
        lock(&self.desk).gave_up
    }

    /// How many bytes of the file were read.
    pub fn position(&self) -> u64 {
        lock(&self.desk).batch.position()
    }

    /// Rows that are under way or wait for their permit.
    pub fn under_way(&self) -> usize {
        lock(&self.desk).flying.len()
    }

    /// The results so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn ended(&self, key: IdempotencyKey, result: Result<Placed, Error>) -> Option<RowResult> {
        let mut desk = lock(&self.desk);
        let flying = desk.flying.remove(&key)?;
        let untouched = match &result {
            Ok(placed) => placed.replayed,
            Err(error) => error.tries() == 0 && error.kind() != ErrorKind::Unsent,
        };
        let open = untouched && result.as_ref().is_err_and(Error::is_ambiguous);
        if open
            && !desk.stopped
            && let Some(order) = &flying.again
            // Refused while an attempt may still leave, and for a key that has its answer.
            && self.journal.settle(&key, Class::Unsent, None).is_ok()
        {
            let order = order.clone();
            desk.again.push_back((flying.line, order));
            return None;
        }
        desk.count_failures(&result);
        if untouched && let Some(left) = &mut desk.left {
            *left += 1;
        }
        Some(RowResult::of(flying.line, key, result))
    }
}

impl Stream for BatchRun {
    type Item = Result<RowResult, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let result = loop {
            let polled = Pin::new(&mut self.calls).poll_next(cx);
            if let Poll::Ready(Some((key, result))) = polled {
                match self.ended(key, result) {
                    Some(result) => break Ok(result),
                    // Dialled again, which needs another look at the intake.
                    None => continue,
                }
            }
            let aside = lock(&self.desk).aside.take();
            match (aside, polled) {
                (Some(aside), _) => break aside,
                (None, Poll::Pending) => return Poll::Pending,
                (None, _) => return Poll::Ready(None),
            }
        };
        if let Ok(result) = &result {
            self.tally.add(result);
        }
        Poll::Ready(Some(result))
    }
}

impl fmt::Debug for BatchRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRun")
            .field("under_way", &self.under_way())
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

/// Where rows wait on both sides of `place_all`; as many as it takes at once.
struct Desk {
    batch: Batch,
    settings: BatchSettings,
    left: Option<u64>,
    flying: HashMap<IdempotencyKey, Flying>,
    /// Freed to be dialled again.
    again: VecDeque<(u64, Order)>,
    /// A record that is not a call; nothing is read until it is taken.
    aside: Option<Result<RowResult, Error>>,
    over: bool,
    stopped: bool,
    /// Failures in a row that are not the row's.
    failed: u32,
    gave_up: bool,
}

struct Flying {
    line: u64,
    /// Kept where it may be dialled again, once.
    again: Option<Order>,
}

impl Desk {
    fn new(batch: Batch, settings: BatchSettings) -> Self {
        let left = settings.limit;
        let (flying, again) = (HashMap::new(), VecDeque::new());
        let (over, stopped, failed, gave_up) = (false, false, 0, false);
        Self { batch, settings, left, flying, again, aside: None, over, stopped, failed, gave_up }
    }

    fn count_failures(&mut self, result: &Result<Placed, Error>) {
        let failed = result.as_ref().is_err_and(|error| {
            matches!(error.class(), Class::Rejected(Scope::Account)) || error.kind() == ErrorKind::Unsent
        });
        self.failed = if failed { self.failed + 1 } else { 0 };
        if !self.stopped && self.settings.give_up_after > 0 && self.failed >= self.settings.give_up_after {
            (self.stopped, self.gave_up) = (true, true);
        }
    }

    /// The next call. Pending means: ask again after a result.
    fn next(&mut self) -> Poll<Option<Order>> {
        if self.aside.is_some() {
            return Poll::Pending;
        }
        if let Some((line, order)) = self.again.pop_front() {
            return self.take(line, order, false);
        }
        let more_may_come = !self.flying.is_empty() && !self.stopped;
        if self.stopped || self.over {
            return if more_may_come && self.settings.redial_unknown {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        }
        if self.left == Some(0) {
            return if more_may_come { Poll::Pending } else { Poll::Ready(None) };
        }
        match self.batch.next().map(|entry| entry.map(RowResult::aside)) {
            None => {
                self.over = true;
                self.next()
            }
            Some(Ok(Ok(row))) => {
                self.left = self.left.map(|left| left - 1);
                self.take(row.line, row.order, self.settings.redial_unknown)
            }
            Some(Ok(Err(aside))) => self.put_aside(Ok(aside)),
            Some(Err(error)) => {
                self.over = true;
                self.put_aside(Err(error))
            }
        }
    }

    fn put_aside(&mut self, aside: Result<RowResult, Error>) -> Poll<Option<Order>> {
        self.aside = Some(aside);
        Poll::Pending
    }

    fn take(&mut self, line: u64, mut order: Order, may_again: bool) -> Poll<Option<Order>> {
        order.lane = self.settings.lane.or(order.lane);
        order.timeout = self.settings.timeout.or(order.timeout);
        if let Some(key) = &order.key {
            self.flying.insert(key.clone(), Flying { line, again: may_again.then(|| order.clone()) });
        }
        Poll::Ready(Some(order))
    }
}

/// The rows as `place_all` takes them.
struct Intake(Arc<Mutex<Desk>>);

impl Stream for Intake {
    type Item = Order;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Order>> {
        lock(&self.0).next()
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The journal in this process's memory: bounded, fast, and gone with the process.

mod calls;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
#[cfg(trunkline_mutation)]
use trunkline_core_types::Mutation;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, CallJournal, Claim, Class, Clock, IdempotencyKey, Intent, JournalError,
    JournalErrorKind,
};

pub use calls::MemoryCalls;

use crate::life::{Ended, Open, Step, state};

/// A journal in memory: a written choice, because **its promise ends with the process**. After a restart every key is free, so a
/// call whose outcome was unknown can be placed again; where that may not happen use a durable store.
///
/// Holds at most [`max_keys`](Self::max_keys) keys. A new key beyond that first sweeps keys that were settled or freed longer than
/// [`retention`](Self::retention) ago (a swept key is forgotten: claiming it dials); if there is none the claim is refused as
/// [`JournalErrorKind::Full`]. Open keys are never swept. Keys go in the order of their ends, so after the wall clock was set back those of before wait until
/// its time has come again. Every step is `O(log open keys)` under one lock; nothing is ever awaited.
///
/// `Debug` prints counts only. The caller bounds the size of details and replies.
pub struct MemoryJournal {
    clock: Arc<dyn Clock>,
    max_keys: usize,
    retention: Duration,
    keys: Mutex<Keys>,
    calls: MemoryCalls,
}

#[derive(Default)]
struct Keys {
    /// In key order, for paging.
    open: BTreeMap<IdempotencyKey, Open>,
    ended: HashMap<IdempotencyKey, (SystemTime, Ended)>,
    /// The same keys as `ended` in the order of their ends, and some that were claimed again since.
    by_age: VecDeque<(SystemTime, IdempotencyKey)>,
}

impl MemoryJournal {
    /// Default of [`max_keys`](Self::max_keys).
    pub const MAX_KEYS: usize = 1_000_000;

    /// Default of [`retention`](Self::retention): seven days.
    pub const RETENTION: Duration = Duration::from_secs(7 * 86_400);

    /// An empty journal whose wall time comes from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            max_keys: Self::MAX_KEYS,
            retention: Self::RETENTION,
            keys: Mutex::default(),
            calls: MemoryCalls::new(),
        }
    }

    /// How many keys it holds, open and ended ones. Default: 1,000,000, at a few hundred bytes each plus detail and reply.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// How long a settled or freed key is kept at least. Default: seven days. Nothing is swept while there is room.
    #[must_use]
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = time;
        self
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        // No step panics half-way, so a poisoned lock still guards whole entries.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim_now(&self, intent: &Arc<Intent>) -> Result<Claim, JournalError> {
        let mut keys = self.keys();
        let open = keys.open.get(&intent.key);
        #[cfg(trunkline_mutation)]
        let open = open.filter(|open| {
            let pending = Mutation::DialledIsPending.is_on() && open.in_flight();
            !(Mutation::ClaimOverwrites.is_on() || pending)
        });
        if let Some(open) = open {
            return Ok(if open.intent.detail == intent.detail { Claim::Open } else { Claim::Mismatch });
        }
        let last = match keys.ended.get(&intent.key) {
            Some((_, ended)) if *ended.detail() != intent.detail => return Ok(Claim::Mismatch),
            Some((_, ended)) => match ended.answer().cloned() {
                Some((class, reply)) => return Ok(Claim::Settled(class, reply)),
                None => Some(ended.last()),
            },
            None => {
                if keys.is_full(self.max_keys) {
                    keys.make_room(self.max_keys, self.clock.wall().checked_sub(self.retention))?;
                }
                None
            }
        };
        if last.is_some() {
            keys.ended.remove(&intent.key);
        }
        let last = last.unwrap_or_default();
        keys.open.insert(intent.key.clone(), Open::new(intent.clone(), last));
        // At the end of the numbers every begin is refused.
        Ok(Claim::Go { number: last.saturating_add(1) })
    }

    fn open_now(
        &self,
        fenced_before: SystemTime,
        after: Option<&IdempotencyKey>,
        limit: usize,
    ) -> Vec<Arc<Intent>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.keys();
        let open = keys.open.range::<IdempotencyKey, _>((from, Bound::Unbounded));
        let fenced = open.filter(|(_, open)| open.has_begun() && open.intent.fence < fenced_before);
        fenced.take(limit).map(|(_, open)| open.intent.clone()).collect()
    }
}

impl Keys {
    fn is_full(&self, max: usize) -> bool {
        self.open.len() + self.ended.len() >= max
    }

    /// Sweeps ended keys from the oldest on until there is room.
    fn make_room(&mut self, max: usize, kept_since: Option<SystemTime>) -> Result<(), JournalError> {
        while self.is_full(max) {
            let oldest = self.by_age.front();
            let stale = oldest.is_some_and(|(at, key)| !self.ended_at(key, *at));
            let old = oldest.is_some_and(|(at, _)| kept_since.is_some_and(|since| *at < since));
            if !stale && !old {
                return Err(JournalError::new(
                    JournalErrorKind::Full,
                    format!("claim: it holds its {max} keys; raise max_keys or lower the retention"),
                ));
            }
            if let Some((_, key)) = self.by_age.pop_front().filter(|_| !stale) {
                self.ended.remove(&key);
            }
        }
        Ok(())
    }

    /// Whether the key's end is the one of this moment, and not a later one.
    fn ended_at(&self, key: &IdempotencyKey, at: SystemTime) -> bool {
        self.ended.get(key).is_some_and(|(known, _)| *known == at)
    }

    fn note_end(&mut self, key: &IdempotencyKey, at: SystemTime) {
        self.by_age.push_back((at, key.clone()));
        // Keys that are freed and claimed again and again leave stale entries.
        if self.by_age.len() > 2 * self.ended.len() + 64 {
            let Self { ended, by_age, .. } = self;
            by_age.retain(|(at, key)| ended.get(key).is_some_and(|(known, _)| known == at));
        }
    }

    /// Carries out what a step of an open key leads to.
    fn carry_out(&mut self, key: &IdempotencyKey, step: &Step, reply: Option<Bytes>, clock: &dyn Clock) {
        if *step == Step::Stays {
            return;
        }
        let Some((key, open)) = self.open.remove_entry(key) else { return };
        let now = clock.wall();
        let answer = match step {
            Step::Settles(class) => Some((*class, reply)),
            Step::Stays | Step::Frees => None,
        };
        self.note_end(&key, now);
        self.ended.insert(key, (now, open.ended(answer)));
    }
}

#[deny(clippy::missing_trait_methods)]
impl AttemptJournal for MemoryJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async move { self.claim_now(intent) })
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let mut keys = self.keys();
            let open = keys.open.get_mut(&intent.key);
            open.ok_or_else(|| state("begin: nobody holds the key; claim it first"))?.begin(intent, number)
        })
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let mut keys = self.keys();
        if let Some(open) = keys.open.get_mut(key) {
            let step = open.end(number, class)?;
            keys.carry_out(key, &step, reply, &*self.clock);
            return Ok(());
        }
        let ended = keys.ended.get_mut(key);
        ended.ok_or_else(|| state("end: the key is unknown; claim it first"))?.1.end(number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        let mut keys = self.keys();
        if let Some(open) = keys.open.get_mut(key) {
            let step = open.settle(class, || self.clock.wall())?;
            keys.carry_out(key, &step, reply, &*self.clock);
            return Ok(());
        }
        let ended = keys.ended.get_mut(key);
        ended.ok_or_else(|| state("settle: the key is unknown; claim it first"))?.1.settle(class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        Box::pin(async move { Ok(self.open_now(fenced_before, after, limit)) })
    }

    fn calls(&self) -> Option<&dyn CallJournal> {
        Some(&self.calls)
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, ended) = {
            let keys = self.keys();
            (keys.open.len(), keys.ended.len())
        };
        f.debug_struct("MemoryJournal")
            .field("open", &open)
            .field("ended", &ended)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

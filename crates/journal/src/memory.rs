//! The journal in this process's memory: bounded, fast, and gone with the process.

mod calls;
mod index;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod past;
mod slots;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
#[cfg(trunkline_mutation)]
use trunkline_core_types::Mutation;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, CallJournal, Claim, Class, Clock, IdempotencyKey, Intent, JournalError,
    JournalErrorKind,
};

pub use calls::MemoryCalls;

use crate::life::{Open, Step, first_after, state};
use crate::sync::{Mutex, MutexGuard};
use index::Hashed;
use slots::{Life, Ring, Slots};

/// Open keys that no listing has asked for and that lie unsorted; beyond that each claim sorts one in.
const UNSORTED: usize = 4_096;

/// A journal in memory: a written choice, because **its promise ends with the process**. After a restart every key is free, so a
/// call whose outcome was unknown can be placed again; where that may not happen use a durable store.
///
/// Holds at most [`max_keys`](Self::max_keys) keys. A new key beyond that first sweeps keys that were settled or freed longer than
/// [`retention`](Self::retention) ago (a swept key is forgotten: claiming it dials); if there is none the claim is refused as
/// [`JournalErrorKind::Full`]. Open keys are never swept. Keys go in the order of their ends, so after the wall clock was set back those of before wait until
/// its time has come again. Every step is one look-up under one lock, but a listing first sorts in at most 4,096 keys that were claimed since the last; nothing is ever
/// awaited.
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
    slots: Slots,
    /// The slots of `Ring::Listed` in key order, for paging.
    listed: BTreeMap<IdempotencyKey, u32>,
    /// How many are open, listed or not.
    open: usize,
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

    /// How many keys it holds, open and ended ones. Default: 1,000,000. One that ended takes about 110 bytes beside key, detail and reply.
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
        let found = keys.slots.find_or_hash(&intent.key);
        let last = match found.ok().map(|at| keys.slots.life(at)) {
            #[cfg(trunkline_mutation)]
            Some(Life::Open(open))
                if Mutation::ClaimOverwrites.is_on()
                    || (Mutation::DialledIsPending.is_on() && open.in_flight()) =>
            {
                found.into_iter().for_each(|at| keys.let_go(at));
                0
            }
            Some(Life::Open(open)) => {
                return Ok(if open.intent.detail == intent.detail { Claim::Open } else { Claim::Mismatch });
            }
            Some(Life::Ended(past)) if !past.is_of(&intent.detail) => return Ok(Claim::Mismatch),
            Some(Life::Ended(past)) => match past.answer() {
                Some((class, reply)) => return Ok(Claim::Settled(class, reply)),
                None => past.last(),
            },
            Some(Life::Vacant) | None => {
                let max = self.max_keys.min(Slots::MAX);
                if keys.slots.len() >= max {
                    keys.make_room(max, self.clock.wall().checked_sub(self.retention))?;
                }
                0
            }
        };
        Ok(keys.take(found, intent, last))
    }

    fn begin_now(&self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        match self.keys().slots.find_mut(&intent.key) {
            Some((_, Life::Open(open))) => open.begin(intent, number),
            _ => Err(state("begin: nobody holds the key; claim it first")),
        }
    }

    /// Carries out what `settle` leads an open key to; one that ended takes the class as a proof.
    fn settled(
        &self,
        key: &IdempotencyKey,
        reply: Option<Bytes>,
        class: Class,
        settle: impl FnOnce(&mut Open) -> Result<Step, JournalError>,
    ) -> Result<(), JournalError> {
        let mut keys = self.keys();
        match keys.slots.find_mut(key) {
            Some((at, Life::Open(open))) => {
                let step = settle(open)?;
                keys.carry_out(at, &step, reply, &*self.clock);
                Ok(())
            }
            Some((_, Life::Ended(past))) => past.settle(class, reply),
            _ => Err(state("settle: the key is unknown; claim it first")),
        }
    }

    fn open_now(
        &self,
        fenced_before: SystemTime,
        after: Option<&IdempotencyKey>,
        limit: usize,
    ) -> Vec<Arc<Intent>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys = self.keys();
        while keys.sort_one_in() {}
        let Keys { slots, listed, .. } = &*keys;
        let listed = listed.range::<IdempotencyKey, _>((from, Bound::Unbounded));
        let open = listed.filter_map(|(_, at)| match slots.life(*at) {
            Life::Open(open) if open.has_begun() && open.intent.fence < fenced_before => Some(&open.intent),
            _ => None,
        });
        open.take(limit).cloned().collect()
    }
}

impl Keys {
    /// Gives the key to its claimer: one that is not there yet, or a free one.
    fn take(&mut self, found: Result<u32, Hashed>, intent: &Arc<Intent>, last: u32) -> Claim {
        match found {
            Ok(at) => self.slots.reopen(at, intent.clone(), last),
            Err(hash) => self.slots.insert(intent.clone(), hash),
        }
        self.open += 1;
        if self.open - self.listed.len() > UNSORTED {
            self.sort_one_in();
        }
        Claim::Go { number: first_after(last) }
    }

    /// Puts the oldest claim that is not listed into its order; false if there is none.
    fn sort_one_in(&mut self) -> bool {
        let Some(at) = self.slots.oldest(Ring::Fresh) else { return false };
        self.slots.move_to(at, Ring::Listed);
        if let Life::Open(open) = self.slots.life(at) {
            self.listed.insert(open.intent.key.clone(), at);
        }
        true
    }

    /// Sweeps ended keys from the oldest on until there is room.
    fn make_room(&mut self, max: usize, kept_since: Option<SystemTime>) -> Result<(), JournalError> {
        while self.slots.len() >= max {
            let old = self.slots.oldest(Ring::Ended).filter(|at| {
                let Life::Ended(past) = self.slots.life(*at) else { return false };
                kept_since.is_some_and(|since| past.ended_before(since))
            });
            let Some(at) = old else {
                return Err(JournalError::new(
                    JournalErrorKind::Full,
                    format!("claim: it holds its {max} keys; raise max_keys or lower the retention"),
                ));
            };
            self.slots.remove(at);
        }
        Ok(())
    }

    /// Carries out what a step of an open key leads to.
    fn carry_out(&mut self, at: u32, step: &Step, reply: Option<Bytes>, clock: &dyn Clock) {
        let (answer, reply) = match step {
            Step::Stays => return,
            Step::Settles(class) => (Some(*class), reply),
            Step::Frees => (None, None),
        };
        self.let_go(at);
        self.slots.end(at, answer, reply, clock.wall());
    }

    /// An open key will be so no more.
    fn let_go(&mut self, at: u32) {
        if self.slots.ring(at) == Ring::Listed
            && let Life::Open(open) = self.slots.life(at)
        {
            self.listed.remove(&open.intent.key);
        }
        self.open -= 1;
    }
}

#[deny(clippy::missing_trait_methods)]
impl AttemptJournal for MemoryJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async move { self.claim_now(intent) })
    }

    fn claim_at_once(&self, intent: &Arc<Intent>) -> Option<Result<Claim, JournalError>> {
        Some(self.claim_now(intent))
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move { self.begin_now(intent, number) })
    }

    fn begin_at_once(&self, intent: &Arc<Intent>, number: u32) -> Option<Result<(), JournalError>> {
        Some(self.begin_now(intent, number))
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let mut keys = self.keys();
        match keys.slots.find_mut(key) {
            Some((at, Life::Open(open))) => {
                let step = open.end(number, class)?;
                keys.carry_out(at, &step, reply, &*self.clock);
                Ok(())
            }
            Some((_, Life::Ended(past))) => past.end(number, class, reply),
            _ => Err(state("end: the key is unknown; claim it first")),
        }
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.settled(key, reply, class, |open| open.settle(class, || self.clock.wall()))
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.settled(key, reply, class, |open| open.settle_claim(number, class, || self.clock.wall()))
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
            (keys.open, keys.slots.len() - keys.open)
        };
        f.debug_struct("MemoryJournal")
            .field("open", &open)
            .field("ended", &ended)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::SystemClock;

    #[tokio::test]
    async fn open_keys_are_listed_in_order_and_few_of_them_lie_unsorted() {
        let journal = MemoryJournal::new(Arc::new(SystemClock::new()));
        let intent = |n: usize| {
            Arc::new(Intent {
                key: format!("key-{:05}", (n * 7_919) % 10_000).parse().unwrap(),
                account: "main".parse().unwrap(),
                detail: "call".into(),
                fence: SystemTime::UNIX_EPOCH,
            })
        };
        let unsorted = || {
            let keys = journal.keys();
            keys.open - keys.listed.len()
        };
        for n in 0..10_000 {
            journal.claim(&intent(n)).await.unwrap();
            journal.begin(&intent(n), 1).await.unwrap();
            assert!(unsorted() <= UNSORTED);
        }
        // Of those that are sorted in and of those that are not, every other one ends.
        for n in (0..10_000).step_by(2) {
            journal.end(&intent(n).key, 1, Class::Accepted, None).unwrap();
        }
        let (mut listed, mut after) = (Vec::<Arc<Intent>>::new(), None);
        loop {
            let page = journal.open_now(SystemTime::UNIX_EPOCH + Duration::from_secs(1), after.as_ref(), 999);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            listed.extend(page);
        }
        let mut open: Vec<_> = (1..10_000).step_by(2).map(intent).collect();
        open.sort_by_key(|intent| intent.key.clone());
        assert_eq!(listed, open);
        assert_eq!(unsorted(), 0);
        for call in &open {
            journal.settle(&call.key, Class::Accepted, None).unwrap();
        }
        let keys = journal.keys();
        assert_eq!((keys.open, keys.listed.len(), keys.slots.len()), (0, 0, 10_000));
    }
}

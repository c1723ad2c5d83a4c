//! What was heard of calls, in memory: which events, and the state that they give. Bounded; the oldest call falls out.

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::sync::PoisonError;

use trunkline_core_types::{
    AccountId, BoxFuture, Call, CallEvent, CallId, CallJournal, CallRef, CallState, EventId, Heard,
    IdempotencyKey, JournalError,
};

use super::index::{Hashed, Index};
use crate::sync::{Mutex, MutexGuard};

/// Events remembered of one call.
const EVENTS: usize = 32;

/// Keeps what is heard of calls in this process: the newest [`MAX_CALLS`](Self::MAX_CALLS) of them, and of each the newest 32 event ids.
/// What falls out is taken again, which changes nothing. Of the calls that show no key themselves it keeps, within the same bound, whose
/// they are.
///
/// `Debug` prints a count only.
#[derive(Default)]
pub struct MemoryCalls(Mutex<Store>);

#[derive(Default)]
struct Store {
    /// A call's number is how many were told of before it, round and round.
    index: Index,
    /// In the order in which they were first told of.
    calls: VecDeque<Known>,
    /// The number of the oldest.
    first: u32,
}

struct Known {
    call: CallRef,
    hash: Hashed,
    /// As an event told, or else a reply.
    key: Option<IdempotencyKey>,
    /// None until the first event.
    told: Option<Box<Told>>,
}

/// What events told of a call.
#[derive(Default)]
struct Told {
    state: CallState,
    /// Newest last.
    events: VecDeque<EventId>,
}

impl MemoryCalls {
    /// The most calls.
    pub const MAX_CALLS: usize = 100_000;

    /// Nothing heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // No step panics half-way, so a poisoned lock still guards whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Where a call is, or, if nothing is known of it, what `add` wants to know.
    fn find(&self, account: &AccountId, id: &CallId) -> Result<usize, Hashed> {
        let hash = self.index.hash((account.as_str(), id.as_str()));
        let at = |number: u32| number.wrapping_sub(self.first) as usize;
        let has = |number| {
            let call = &self.calls[at(number)].call;
            call.id == *id && call.account == *account
        };
        self.index.find(hash, has).map(at).ok_or(hash)
    }

    /// A call of which nothing was known. The oldest goes for it if there are too many.
    fn add(&mut self, call: CallRef, hash: Hashed) -> usize {
        if self.calls.len() >= MemoryCalls::MAX_CALLS
            && let Some(oldest) = self.calls.pop_front()
        {
            self.index.remove(oldest.hash, self.first);
            self.first = self.first.wrapping_add(1);
        }
        let at = self.calls.len();
        self.index.insert(hash, self.first.wrapping_add(at as u32));
        self.calls.push_back(Known { call, hash, key: None, told: None });
        at
    }

    /// What is known of a call; from now on there is something.
    fn known(&mut self, account: &AccountId, id: &CallId) -> &mut Known {
        let at = match self.find(account, id) {
            Ok(at) => at,
            Err(hash) => self.add(CallRef { account: account.clone(), id: id.clone() }, hash),
        };
        &mut self.calls[at]
    }

    fn get(&self, call: &CallRef) -> Option<&Known> {
        self.find(&call.account, &call.id).ok().map(|at| &self.calls[at])
    }

    fn hear(&mut self, call: &CallRef, event: &CallEvent) -> Heard {
        let Known { key, told, .. } = self.known(&call.account, &call.id);
        let told = told.get_or_insert_default();
        let duplicate = told.events.contains(&event.id);
        #[cfg(trunkline_mutation)]
        let duplicate = duplicate && !trunkline_core_types::Mutation::DedupeOff.is_on();
        if !duplicate {
            told.state.fold(event);
            *key = event.key.clone().or(key.take());
            told.events.push_back(event.id.clone());
            if told.events.len() > EVENTS {
                told.events.pop_front();
            }
        }
        Heard { state: told.state.clone(), duplicate }
    }
}

#[deny(clippy::missing_trait_methods)]
impl CallJournal for MemoryCalls {
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>> {
        Box::pin(async move { Ok(self.store().hear(call, event)) })
    }

    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>> {
        let told =
            self.store().get(call).and_then(|known| known.told.as_ref().map(|told| told.state.clone()));
        Box::pin(ready(Ok(told)))
    }

    fn placed(&self, key: &IdempotencyKey, account: &AccountId, call: &Call) {
        if call.key.is_none() {
            self.store().known(account, &call.id).key.get_or_insert_with(|| key.clone());
        }
    }

    fn key_of<'a>(
        &'a self,
        call: &'a CallRef,
    ) -> BoxFuture<'a, Result<Option<IdempotencyKey>, JournalError>> {
        let key = self.store().get(call).and_then(|known| known.key.clone());
        Box::pin(ready(Ok(key)))
    }
}

impl fmt::Debug for MemoryCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.store().calls.len();
        f.debug_struct("MemoryCalls").field("calls", &calls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::{Call, CallStatus};

    fn event(id: usize, status: CallStatus) -> CallEvent {
        let call = Call::new("call_1".parse().unwrap(), status);
        CallEvent::new(format!("evt_{id}").parse().unwrap(), "2026-01-31T08:00:00Z".parse().unwrap(), call)
    }

    fn call(n: usize) -> CallRef {
        format!("a/call_{n}").parse().unwrap()
    }

    #[test]
    fn calls_and_events_are_bounded_and_the_oldest_fall_out() {
        let calls = MemoryCalls::new();
        // Their numbers go round.
        calls.store().first = u32::MAX - 7;
        let most = MemoryCalls::MAX_CALLS;
        for n in 0..most + 10 {
            assert!(!calls.store().hear(&call(n), &event(n, CallStatus::Queued)).duplicate);
        }
        let mut store = calls.store();
        assert_eq!((store.index.len(), store.calls.len()), (most, most));
        assert!((0..10).all(|n| store.get(&call(n)).is_none()));
        assert!((10..most + 10).all(|n| store.get(&call(n)).is_some_and(|known| known.call == call(n))));
        for n in 0..100 {
            store.hear(&call(17), &event(n, CallStatus::Ringing));
        }
        assert!(store.hear(&call(17), &event(99, CallStatus::Ringing)).duplicate);
        assert!(!store.hear(&call(17), &event(0, CallStatus::Queued)).duplicate);
        let told = store.get(&call(17)).unwrap().told.as_ref().unwrap();
        assert_eq!((told.events.len(), told.state.status()), (EVENTS, Some(&CallStatus::Ringing)));
    }

    #[tokio::test]
    async fn a_reply_tells_the_key_and_no_state_and_the_event_knows_better() {
        let (calls, of) = (MemoryCalls::new(), call(1));
        let key = |name: &str| -> IdempotencyKey { name.parse().unwrap() };
        let made = Call::new(of.id.clone(), CallStatus::Queued);
        calls.placed(&key("first"), &of.account, &made);
        calls.placed(&key("second"), &of.account, &made);
        assert_eq!(calls.key_of(&of).await.unwrap(), Some(key("first")));
        assert_eq!(calls.state(&of).await.unwrap(), None);
        calls.hear(&of, &event(1, CallStatus::Ringing)).await.unwrap();
        assert_eq!(calls.key_of(&of).await.unwrap(), Some(key("first")));
        let mut told = event(2, CallStatus::Ringing);
        told.key = Some(key("told"));
        calls.hear(&of, &told).await.unwrap();
        assert_eq!(calls.key_of(&of).await.unwrap(), Some(key("told")));
        assert!(calls.state(&of).await.unwrap().is_some());
        assert_eq!(calls.key_of(&"b/call_1".parse().unwrap()).await.unwrap(), None);
    }
}

//! What was heard of calls, in memory: which events, and the state that they give. Bounded; the oldest call falls out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkline_core_types::{
    AccountId, BoxFuture, Call, CallEvent, CallJournal, CallRef, CallState, EventId, Heard, IdempotencyKey,
    JournalError,
};

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
    calls: HashMap<CallRef, Known>,
    /// The same calls, in the order in which they were first told of.
    in_order: VecDeque<CallRef>,
}

#[derive(Default)]
struct Known {
    /// As an event told, or else a reply.
    key: Option<IdempotencyKey>,
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
    /// What is known of a call, from now on something. The oldest goes for it if there are too many.
    fn known(&mut self, call: &CallRef) -> &mut Known {
        if !self.calls.contains_key(call) {
            if self.calls.len() >= MemoryCalls::MAX_CALLS
                && let Some(oldest) = self.in_order.pop_front()
            {
                self.calls.remove(&oldest);
            }
            self.in_order.push_back(call.clone());
        }
        self.calls.entry(call.clone()).or_default()
    }

    fn hear(&mut self, call: &CallRef, event: &CallEvent) -> Heard {
        let known = self.known(call);
        let duplicate = known.events.contains(&event.id);
        #[cfg(trunkline_mutation)]
        let duplicate = duplicate && !trunkline_core_types::Mutation::DedupeOff.is_on();
        if !duplicate {
            known.state.fold(event);
            known.key = event.key.clone().or(known.key.take());
            known.events.push_back(event.id.clone());
            if known.events.len() > EVENTS {
                known.events.pop_front();
            }
        }
        Heard { state: known.state.clone(), duplicate }
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
        let store = self.store();
        let heard = store.calls.get(call).filter(|known| !known.events.is_empty());
        Box::pin(ready(Ok(heard.map(|known| known.state.clone()))))
    }

    fn placed(&self, key: &IdempotencyKey, account: &AccountId, call: &Call) {
        if call.key.is_none() {
            let call = CallRef { account: account.clone(), id: call.id.clone() };
            self.store().known(&call).key.get_or_insert_with(|| key.clone());
        }
    }

    fn key_of<'a>(
        &'a self,
        call: &'a CallRef,
    ) -> BoxFuture<'a, Result<Option<IdempotencyKey>, JournalError>> {
        let key = self.store().calls.get(call).and_then(|known| known.key.clone());
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

    #[test]
    fn both_maps_are_bounded_and_the_oldest_falls_out() {
        let calls = MemoryCalls::new();
        let call = |n: usize| -> CallRef { format!("a/call_{n}").parse().unwrap() };
        for n in 0..=MemoryCalls::MAX_CALLS {
            assert!(!calls.store().hear(&call(n), &event(n, CallStatus::Queued)).duplicate);
        }
        let mut store = calls.store();
        assert_eq!(
            (store.calls.len(), store.in_order.len()),
            (MemoryCalls::MAX_CALLS, MemoryCalls::MAX_CALLS)
        );
        assert!(!store.calls.contains_key(&call(0)) && store.calls.contains_key(&call(1)));
        for n in 0..100 {
            store.hear(&call(7), &event(n, CallStatus::Ringing));
        }
        assert_eq!(store.calls[&call(7)].events.len(), EVENTS);
        assert!(store.hear(&call(7), &event(99, CallStatus::Ringing)).duplicate);
        assert!(!store.hear(&call(7), &event(0, CallStatus::Queued)).duplicate);
        assert_eq!(store.calls[&call(7)].state.status(), Some(&CallStatus::Ringing));
    }
}

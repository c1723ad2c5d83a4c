//! What was heard of calls, in memory: which events, and the state that they give. Bounded; the oldest call falls out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkline_core_types::{
    BoxFuture, CallEvent, CallJournal, CallRef, CallState, EventId, Heard, JournalError,
};

/// Events remembered of one call.
const EVENTS: usize = 32;

/// Keeps what is heard of calls in this process: the newest [`MAX_CALLS`](Self::MAX_CALLS) of them, and of each the newest 32 event ids.
/// What falls out is taken again, which changes nothing.
///
/// `Debug` prints a count only.
#[derive(Default)]
pub struct MemoryCalls(Mutex<Store>);

#[derive(Default)]
struct Store {
    calls: HashMap<CallRef, Known>,
    /// The same calls, in the order in which they were first heard of.
    in_order: VecDeque<CallRef>,
}

#[derive(Default)]
struct Known {
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
    fn hear(&mut self, call: &CallRef, event: &CallEvent) -> Heard {
        if !self.calls.contains_key(call) {
            self.in_order.push_back(call.clone());
        }
        let known = self.calls.entry(call.clone()).or_default();
        let duplicate = known.events.contains(&event.id);
        #[cfg(trunkline_mutation)]
        let duplicate = duplicate && !trunkline_core_types::Mutation::DedupeOff.is_on();
        if !duplicate {
            known.state.fold(event);
            known.events.push_back(event.id.clone());
            if known.events.len() > EVENTS {
                known.events.pop_front();
            }
        }
        let state = known.state.clone();
        if self.calls.len() > MemoryCalls::MAX_CALLS
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.calls.remove(&oldest);
        }
        Heard { state, duplicate }
    }
}

impl CallJournal for MemoryCalls {
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>> {
        Box::pin(async move { Ok(self.store().hear(call, event)) })
    }

    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>> {
        let state = self.store().calls.get(call).map(|known| known.state.clone());
        Box::pin(ready(Ok(state)))
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

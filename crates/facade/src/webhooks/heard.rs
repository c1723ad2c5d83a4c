//! Which events were taken, and what they tell of each call. Bounded; what falls out is taken again, which changes nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trunkline_core_types::{AccountId, CallEvent, CallRef, CallState, EventId};

/// How long an event id is remembered: twice the age at which an event is refused.
const WINDOW: Duration = Duration::from_secs(2 * 24 * 3600);
/// The most event ids, and the most calls.
const MAX: usize = 100_000;

/// What a client has heard from its providers.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Store>);

#[derive(Default)]
struct Store {
    seen: HashSet<(AccountId, EventId)>,
    /// The same ids, oldest first.
    by_age: VecDeque<(Instant, (AccountId, EventId))>,
    calls: HashMap<CallRef, CallState>,
    /// The same calls, in the order in which they were first heard of.
    in_order: VecDeque<CallRef>,
}

impl Heard {
    /// The call's state if the event was taken before.
    pub(crate) fn again(&self, call: &CallRef, event: &CallEvent, now: Instant) -> Option<CallState> {
        let mut store = self.store();
        store.forget(now);
        let known = store.seen.contains(&(call.account.clone(), event.id.clone()));
        #[cfg(trunkline_mutation)]
        let known = known && !trunkline_core_types::Mutation::DedupeOff.is_on();
        known.then(|| store.calls.get(call).cloned().unwrap_or_default())
    }

    /// Takes the event; the call's state after it.
    pub(crate) fn note(&self, call: &CallRef, event: &CallEvent, now: Instant) -> CallState {
        let mut store = self.store();
        let id = (call.account.clone(), event.id.clone());
        if store.seen.insert(id.clone()) {
            store.by_age.push_back((now, id));
        }
        if !store.calls.contains_key(call) {
            store.in_order.push_back(call.clone());
        }
        let state = store.calls.entry(call.clone()).or_default();
        state.fold(event);
        let state = state.clone();
        store.make_room();
        state
    }

    pub(crate) fn state(&self, call: &CallRef) -> Option<CallState> {
        self.store().calls.get(call).cloned()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // No step panics half-way, so a poisoned lock still guards whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn forget(&mut self, now: Instant) {
        while self.by_age.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            drop_oldest(&mut self.seen, self.by_age.pop_front().map(|(_, id)| id));
        }
    }

    fn make_room(&mut self) {
        if self.seen.len() > MAX {
            drop_oldest(&mut self.seen, self.by_age.pop_front().map(|(_, id)| id));
        }
        if self.calls.len() > MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }
}

fn drop_oldest<T: Eq + Hash>(set: &mut HashSet<T>, oldest: Option<T>) {
    if let Some(oldest) = oldest {
        set.remove(&oldest);
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, calls) = {
            let store = self.store();
            (store.seen.len(), store.calls.len())
        };
        f.debug_struct("Heard").field("events", &events).field("calls", &calls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::{Call, CallStatus, Clock, SystemClock};

    fn event(id: usize, status: CallStatus) -> CallEvent {
        let call = Call::new("call_1".parse().unwrap(), status);
        CallEvent::new(format!("evt_{id}").parse().unwrap(), "2026-01-31T08:00:00Z".parse().unwrap(), call)
    }

    #[test]
    fn an_event_is_known_for_its_window_and_only_in_its_account() {
        let (heard, now) = (Heard::default(), SystemClock::new().now());
        let (mine, other): (CallRef, CallRef) = ("a/call_1".parse().unwrap(), "b/call_1".parse().unwrap());
        let event = event(1, CallStatus::Ringing);
        assert!(heard.again(&mine, &event, now).is_none());
        heard.note(&mine, &event, now);
        assert!(heard.again(&mine, &event, now + WINDOW).is_some());
        assert!(heard.again(&other, &event, now).is_none());
        assert!(heard.again(&mine, &event, now + WINDOW + Duration::from_nanos(1)).is_none());
        assert_eq!(heard.state(&mine).unwrap().status(), Some(&CallStatus::Ringing));
    }

    #[test]
    fn both_maps_are_bounded_and_the_oldest_falls_out() {
        let (heard, now) = (Heard::default(), SystemClock::new().now());
        let call = |n: usize| -> CallRef { format!("a/call_{n}").parse().unwrap() };
        for n in 0..=MAX {
            heard.note(&call(n), &event(n, CallStatus::Queued), now);
        }
        let store = heard.store();
        assert_eq!((store.seen.len(), store.by_age.len()), (MAX, MAX));
        assert_eq!((store.calls.len(), store.in_order.len()), (MAX, MAX));
        drop(store);
        assert!(heard.again(&call(0), &event(0, CallStatus::Queued), now).is_none());
        assert!(heard.state(&call(0)).is_none() && heard.state(&call(MAX)).is_some());
    }
}

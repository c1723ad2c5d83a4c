//! Two callers of one key share one flight and one result.

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod shared;

use std::collections::{HashMap, hash_map};
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use trunkline_core_types::{BoxFuture, IdempotencyKey};

use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Placed};
use shared::{Shared, WeakShared};

type Course = BoxFuture<'static, Result<Placed, Error>>;
type Flight = Shared<Result<Placed, Error>, Landing>;

/// The flights under way, by the caller's key. An entry ends with its flight, so the map is as large as the callers make it at once.
#[derive(Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<Entries>>);

type Entries = HashMap<IdempotencyKey, Entry>;

#[derive(Debug)]
struct Entry {
    detail: Bytes,
    flight: WeakShared<Result<Placed, Error>, Landing>,
    /// Whoever came when nobody was left in it and it had not landed yet.
    next: Vec<Waker>,
}

impl Flights {
    /// Joins the flight of `key`, or starts `fresh` as one. Whoever still waits drives it; it is given up with its last waiter, and only once
    /// that is done another one starts.
    pub(crate) async fn join(
        &self,
        key: &IdempotencyKey,
        detail: &Bytes,
        fresh: Course,
    ) -> Result<Placed, Error> {
        let mut fresh = Some(fresh);
        let flight = poll_fn(|cx| self.board(key, detail, &mut fresh, cx.waker())).await?;
        flight.await.unwrap_or_else(|| Err(Error::crashed()))
    }

    fn board(
        &self,
        key: &IdempotencyKey,
        detail: &Bytes,
        fresh: &mut Option<Course>,
        waker: &Waker,
    ) -> Poll<Result<Flight, Error>> {
        let mut entries = lock(&self.0);
        // Looked up once, since a caller's key is hashed with care.
        match entries.entry(key.clone()) {
            hash_map::Entry::Occupied(mut known) => {
                let Some(flight) = known.get().flight.upgrade() else {
                    known.get_mut().next.push(waker.clone());
                    return Poll::Pending;
                };
                let same = known.get().detail == *detail;
                // The flight may end with our handle, and its end takes the lock.
                drop(entries);
                Poll::Ready(if same { Ok(flight) } else { Err(mismatch()) })
            }
            hash_map::Entry::Vacant(entry) => {
                let Some(fresh) = fresh.take() else { return Poll::Pending };
                let flight = Shared::new(fresh, Landing { entries: self.0.clone(), key: key.clone() });
                let (detail, weak) = (detail.clone(), flight.downgrade());
                entry.insert(Entry { detail, flight: weak, next: Vec::new() });
                Poll::Ready(Ok(flight))
            }
        }
    }
}

pub(crate) fn mismatch() -> Error {
    let problem = "belongs to another call; use one key for one call and one call only";
    Error::settings("idempotency_key", problem)
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the entry out once its flight has ended or is given up.
struct Landing {
    entries: Arc<Mutex<Entries>>,
    key: IdempotencyKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let landed = lock(&self.entries).remove(&self.key);
        for waker in landed.into_iter().flat_map(|entry| entry.next) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    fn call(detail: &'static str) -> (IdempotencyKey, Bytes) {
        ("key".parse().unwrap(), Bytes::from_static(detail.as_bytes()))
    }

    fn board(flights: &Flights, detail: &'static str, fresh: Course) -> Poll<Result<Flight, Error>> {
        let (key, detail) = call(detail);
        flights.board(&key, &detail, &mut Some(fresh), Waker::noop())
    }

    fn boarded(flights: &Flights, fresh: Course) -> Flight {
        let Poll::Ready(Ok(flight)) = board(flights, "a", fresh) else { panic!("turned away") };
        flight
    }

    fn endless() -> Course {
        Box::pin(pending())
    }

    fn count(flights: &Flights) -> usize {
        lock(&flights.0).len()
    }

    #[test]
    fn a_flight_is_joined_under_its_key_by_the_same_call() {
        let flights = Flights::default();
        let first = boarded(&flights, endless());
        assert!(boarded(&flights, endless()).is_of(&first));
        assert!(matches!(board(&flights, "b", endless()), Poll::Ready(Err(_))));
    }

    #[test]
    fn an_entry_ends_with_its_flight() {
        let flights = Flights::default();
        let mut ended = boarded(&flights, Box::pin(ready(Err(mismatch()))));
        assert!((&mut ended).now_or_never().is_some() && count(&flights) == 0);
        drop(boarded(&flights, endless()));
        assert_eq!(count(&flights), 0, "given up");
    }

    #[test]
    fn a_panic_of_another_caller_is_an_unknown_outcome() {
        let (flights, (key, detail)) = (Flights::default(), call("a"));
        let mut polls = 0;
        let crashes = poll_fn(move |_| {
            polls += 1;
            assert!(polls == 1, "somebody else's code failed");
            Poll::Pending
        });
        let mut first = boarded(&flights, Box::pin(crashes));
        let mut second = Box::pin(flights.join(&key, &detail, endless()));
        assert!(second.as_mut().now_or_never().is_none());
        let crash = || (&mut first).now_or_never();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(crash)).is_err());
        let told = second.now_or_never().unwrap().unwrap_err();
        // Without a try a batch that may dial old unknown calls again would take it for one.
        assert_eq!((told.is_ambiguous(), told.tries(), count(&flights)), (true, 1, 0));
    }

    /// Looks, while its flight is given up, how the next caller fares.
    struct Falling {
        flights: Arc<Flights>,
        next: Arc<Bell>,
    }

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Drop for Falling {
        fn drop(&mut self) {
            let (key, detail) = call("a");
            let waker = self.next.clone().into();
            let early = self.flights.board(&key, &detail, &mut Some(endless()), &waker);
            assert!(early.is_pending(), "the claim under the key is not settled yet");
        }
    }

    #[test]
    fn the_next_flight_starts_when_one_that_is_given_up_has_landed() {
        let (flights, next) = (Arc::new(Flights::default()), Arc::new(Bell::default()));
        let falling = Falling { flights: flights.clone(), next: next.clone() };
        let flight = boarded(
            &flights,
            Box::pin(async move {
                let _falling = falling;
                pending().await
            }),
        );
        drop(flight);
        assert_eq!((next.0.load(Ordering::SeqCst), count(&flights)), (1, 0));
        boarded(&flights, endless());
    }
}

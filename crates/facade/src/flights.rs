//! Two callers of one key share one flight and one result.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use trunkline_core_types::{BoxFuture, IdempotencyKey};

use crate::{Error, Placed};

type Flight = Shared<BoxFuture<'static, Result<Placed, Error>>>;

/// The flights under way, by the caller's key. An entry ends with its flight, so the map is as large as the callers make it at once.
#[derive(Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    flying: HashMap<IdempotencyKey, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    detail: Bytes,
    flight: WeakShared<BoxFuture<'static, Result<Placed, Error>>>,
}

impl Flights {
    /// Joins the flight of `key`, or starts `fresh` as one. Whoever still waits drives it; it is given up with its last waiter.
    pub(crate) fn join<F>(&self, key: &IdempotencyKey, detail: &Bytes, fresh: F) -> Result<Flight, Error>
    where
        F: Future<Output = Result<Placed, Error>> + Send + 'static,
    {
        let mut entries = lock(&self.0);
        let Entries { flying, next } = &mut *entries;
        // Looked up once, since a caller's key is hashed with care.
        let entry = flying.entry(key.clone());
        if let hash_map::Entry::Occupied(known) = &entry
            && let Some(flight) = known.get().flight.upgrade()
        {
            let same = known.get().detail == *detail;
            // The flight may end with our handle, and its end takes the lock.
            drop(entry);
            drop(entries);
            return if same { Ok(flight) } else { Err(mismatch()) };
        }
        let number = *next;
        *next += 1;
        let landing = Landing { entries: self.0.clone(), key: key.clone(), number };
        // Not an async block, whose future would hold `fresh` twice.
        let flight = fresh.map(move |placed| {
            drop(landing);
            placed
        });
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            entry.insert_entry(Entry { number, detail: detail.clone(), flight: weak });
        }
        Ok(flight)
    }
}

pub(crate) fn mismatch() -> Error {
    let problem = "belongs to another call; use one key for one call and one call only";
    Error::settings("idempotency_key", problem)
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the entry out when its flight ends or is given up.
struct Landing {
    entries: Arc<Mutex<Entries>>,
    key: IdempotencyKey,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut entries = lock(&self.entries);
        // A newer flight of the same key may have begun after this one was given up.
        if let hash_map::Entry::Occupied(entry) = entries.flying.entry(self.key.clone())
            && entry.get().number == self.number
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn call(detail: &'static str) -> (IdempotencyKey, Bytes) {
        ("key".parse().unwrap(), Bytes::from_static(detail.as_bytes()))
    }

    #[test]
    fn a_flight_is_joined_under_its_key_by_the_same_call() {
        let (flights, (key, detail)) = (Flights::default(), call("a"));
        let first = flights.join(&key, &detail, pending()).unwrap();
        assert!(flights.join(&key, &detail, pending()).unwrap().ptr_eq(&first));
        assert!(flights.join(&key, &call("b").1, pending()).is_err());
    }

    #[test]
    fn an_entry_ends_with_its_flight() {
        let (flights, (key, detail)) = (Flights::default(), call("a"));
        let ended = flights.join(&key, &detail, ready(Err(mismatch()))).unwrap();
        assert!(ended.clone().now_or_never().is_some() && lock(&flights.0).flying.is_empty());
        drop(flights.join(&key, &detail, pending()).unwrap());
        assert!(lock(&flights.0).flying.is_empty(), "given up");
    }

    #[test]
    fn the_end_of_an_older_flight_leaves_a_newer_one() {
        let (flights, (key, detail)) = (Flights::default(), call("a"));
        drop(flights.join(&key, &detail, pending()).unwrap());
        let newer = flights.join(&key, &detail, pending()).unwrap();
        drop(Landing { entries: flights.0.clone(), key: key.clone(), number: 0 });
        assert!(flights.join(&key, &detail, pending()).unwrap().ptr_eq(&newer));
    }
}

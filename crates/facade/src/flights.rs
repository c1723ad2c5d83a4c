//! Two callers of one key share one flight and one result.

use std::collections::HashMap;
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
        let flying = entries
            .flying
            .get(key)
            .and_then(|entry| Some((entry.detail == *detail, entry.flight.upgrade()?)));
        if let Some((same, flight)) = flying {
            // The flight may end with our handle, and its end takes the lock.
            drop(entries);
            return if same { Ok(flight) } else { Err(mismatch()) };
        }
        let number = entries.next;
        entries.next += 1;
        let landing = Landing { entries: self.0.clone(), key: key.clone(), number };
        let flight = async move {
            let _landing = landing;
            fresh.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            entries.flying.insert(key.clone(), Entry { number, detail: detail.clone(), flight: weak });
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
        if entries.flying.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            entries.flying.remove(&self.key);
        }
    }
}

//! Keys that were claimed anew while a run asks about the claims before: what it hears of those frees nothing.

use std::collections::HashSet;
use std::sync::PoisonError;

use trunkline_core_types::IdempotencyKey;

use crate::sync::{Mutex, MutexGuard};

/// Filled only while a run may free keys, of which a client has one at a time.
#[derive(Debug, Default)]
pub(crate) struct Reclaimed(Mutex<Option<HashSet<IdempotencyKey>>>);

/// Ends with the run.
pub(super) struct Watch<'a>(&'a Reclaimed);

impl Reclaimed {
    fn keys(&self) -> MutexGuard<'_, Option<HashSet<IdempotencyKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key under which attempts were made before has a new claim, of which nothing was sent yet.
    pub(crate) fn note(&self, key: &IdempotencyKey) {
        if let Some(keys) = &mut *self.keys() {
            keys.insert(key.clone());
        }
    }

    /// From before the claims are listed.
    pub(super) fn watch(&self) -> Watch<'_> {
        *self.keys() = Some(HashSet::new());
        Watch(self)
    }

    /// Frees the key if its claim is the one that was listed. A claim that comes just then waits to send until that is done, and finds
    /// that it holds nothing.
    pub(super) fn free<T>(&self, key: &IdempotencyKey, free: impl FnOnce() -> T) -> Option<T> {
        let keys = self.keys();
        match keys.as_ref().is_some_and(|keys| keys.contains(key)) {
            true => None,
            false => Some(free()),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.keys() = None;
    }
}

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model {
    use std::sync::Arc;

    use loom::sync::Mutex;
    use loom::thread;

    use super::Reclaimed;
    use crate::model::explore;

    /// What a journal holds of the one key.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Life {
        /// By the claim that is asked about.
        Before,
        Free,
        Anew,
        /// By the new claim, whose outcome is not known.
        Unknown,
    }

    /// One step of a journal: whether it found `from`, from which it then goes on.
    fn step(life: &Mutex<Life>, from: Life, to: Life) -> bool {
        let mut life = life.lock().unwrap();
        let fits = *life == from;
        if fits {
            *life = to;
        }
        fits
    }

    #[test]
    fn what_was_asked_about_a_claim_frees_no_later_one_that_was_sent() {
        explore(|| {
            let key = "key".parse().unwrap();
            let (reclaimed, life) = (Arc::new(Reclaimed::default()), Arc::new(Mutex::new(Life::Before)));
            let (theirs, their_life) = (reclaimed.clone(), life.clone());
            let placing = thread::spawn(move || {
                step(&their_life, Life::Before, Life::Free);
                if step(&their_life, Life::Free, Life::Anew) {
                    theirs.note(&"key".parse().unwrap());
                    step(&their_life, Life::Anew, Life::Unknown);
                }
            });
            let watch = reclaimed.watch();
            let listed = *life.lock().unwrap() == Life::Before;
            if listed {
                let free = || std::mem::replace(&mut *life.lock().unwrap(), Life::Free);
                assert_ne!(reclaimed.free(&key, free), Some(Life::Unknown));
            }
            drop(watch);
            placing.join().unwrap();
        });
    }
}

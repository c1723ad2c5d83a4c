//! Who is under way, so that a shutdown can close the door and wait.

use tokio::sync::Notify;

use crate::sync::{AtomicUsize, Ordering};

/// The door is closed; below it, twice the number of operations under way.
const CLOSED: usize = 1;
const ONE: usize = 2;

/// Counts operations and refuses new ones once closed.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    state: AtomicUsize,
    empty: Notify,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// `None` once closed. The pass ends with its drop.
    pub(crate) fn enter(&self) -> Option<Pass<'_>> {
        // Looked at and counted in one step: who closes waits for whoever came before, and never sees who came too late.
        let counted = |state| (state & CLOSED == 0).then_some(state + ONE);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).ok()?;
        Some(Pass(self))
    }

    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    pub(crate) fn running(&self) -> usize {
        self.state.load(Ordering::Acquire) / ONE
    }

    /// Once the door is closed: when nobody is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let empty = self.empty.notified();
            if self.running() == 0 {
                return;
            }
            empty.await;
        }
    }
}

pub(crate) struct Pass<'a>(&'a Drain);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Only a closed door has somebody who waits.
        if self.0.state.fetch_sub(ONE, Ordering::AcqRel) == (ONE | CLOSED) {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model {
    use std::sync::Arc;

    use loom::thread;

    use super::Drain;
    use crate::model::explore;

    #[test]
    fn whoever_comes_too_late_is_never_counted() {
        explore(|| {
            let drain = Arc::new(Drain::new());
            let coming = drain.clone();
            let coming = thread::spawn(move || drop(coming.enter()));
            drain.close();
            let left = drain.running();
            assert!(drain.running() <= left, "nobody more is under way once the door is closed");
            coming.join().unwrap();
            assert_eq!(drain.running(), 0);
        });
    }
}

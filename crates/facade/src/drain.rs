//! Who is under way, so that a shutdown can close the door and wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

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
        let pass = Pass(self);
        // Counted first, so that whoever closes after a look at an open door is waited for.
        let before = self.state.fetch_add(ONE, Ordering::AcqRel);
        (before & CLOSED == 0).then_some(pass)
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

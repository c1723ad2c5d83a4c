//! Who is under way, so that a shutdown can close the door and wait.

use std::future::poll_fn;
use std::task::Poll;

use tokio::sync::Notify;
use trunkline_core_types::BoxFuture;

use crate::sync::{AtomicUsize, Ordering};

/// The door is closed; below it, twice the number of operations under way.
const CLOSED: usize = 1;
const ONE: usize = 2;

/// Counts operations and refuses new ones once closed.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    state: AtomicUsize,
    /// The door was closed, or the last one went through the closed door.
    changed: Notify,
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
        self.changed.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// What `wait` ends with; `None` if it still waits when the door is closed.
    pub(crate) async fn while_open<T>(&self, mut wait: BoxFuture<'_, T>) -> Option<T> {
        // Made only for those who have to wait.
        let mut closed = None;
        poll_fn(|cx| match wait.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                closed.get_or_insert_with(|| Box::pin(self.closed())).as_mut().poll(cx).map(|()| None)
            }
        })
        .await
    }

    async fn closed(&self) {
        let changed = self.changed.notified();
        if !self.is_closed() {
            changed.await;
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.state.load(Ordering::Acquire) / ONE
    }

    /// Once the door is closed: when nobody is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.running() == 0 {
                return;
            }
            changed.await;
        }
    }
}

pub(crate) struct Pass<'a>(&'a Drain);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Only a closed door has somebody who waits.
        if self.0.state.fetch_sub(ONE, Ordering::AcqRel) == (ONE | CLOSED) {
            self.0.changed.notify_waiters();
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

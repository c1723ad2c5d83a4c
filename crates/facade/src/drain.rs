//! Who is under way, so that a shutdown can close the door and wait.

use tokio::sync::watch;

/// Counts operations and refuses new ones once closed.
#[derive(Debug)]
pub(crate) struct Drain(watch::Sender<State>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    running: usize,
    closed: bool,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// `None` once closed. The pass ends with its drop.
    pub(crate) fn enter(&self) -> Option<Pass<'_>> {
        let entered = self.0.send_if_modified(|state| {
            state.running += usize::from(!state.closed);
            !state.closed
        });
        entered.then(|| Pass(self))
    }

    pub(crate) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }

    pub(crate) fn running(&self) -> usize {
        self.0.borrow().running
    }

    pub(crate) async fn idle(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|state| state.running == 0).await;
    }
}

pub(crate) struct Pass<'a>(&'a Drain);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.running -= 1);
    }
}

//! A client's process, which can die at any moment: everything it was doing is dropped at once.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use trunkline::Client;

/// Which process, and which of its starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pid {
    pub(super) process: usize,
    pub(super) start: u32,
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}.{}", self.process, self.start)
    }
}

/// One start of a process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    dead: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Process {
    pub(super) fn start(pid: Pid) -> Arc<Self> {
        Arc::new(Self { pid, dead: AtomicBool::new(false), waker: Mutex::default() })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// From here on nothing that it does has an effect; its futures are dropped before anything else runs.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }

    /// Runs what the process does; none if it dies, with everything dropped.
    pub(super) async fn lives<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = Box::pin(work);
        poll_fn(|cx| {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            let done = if self.is_dead() { Poll::Pending } else { work.as_mut().poll(cx) };
            match (self.is_dead(), done) {
                (true, _) => Poll::Ready(None),
                (false, done) => done.map(Some),
            }
        })
        .await
    }
}

/// The clients that live now, for whoever speaks to them from outside: callbacks, an operator.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Vec<(Pid, Client)>>);

impl Roster {
    pub(super) fn enter(&self, pid: Pid, client: &Client) {
        self.0.lock().unwrap().push((pid, client.clone()));
    }

    pub(super) fn leave(&self, pid: Pid) {
        self.0.lock().unwrap().retain(|(known, _)| *known != pid);
    }

    /// The clients that live, in the order of their starts.
    #[expect(dead_code, reason = "callbacks and the operator come next")]
    pub(super) fn alive(&self) -> Vec<(Pid, Client)> {
        self.0.lock().unwrap().clone()
    }
}

//! The same over loom's threads and locks. What comes from other crates is stood in for by the simplest thing that keeps their promise.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// Runs `model` under every interleaving with at most three preemptions. A waiter who is forgotten is reported as a deadlock.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(3));
    search.check(model);
}

/// An `Arc` that is swapped whole.
#[derive(Debug)]
pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn load(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        *self.0.lock().unwrap() = value;
    }
}

/// One value for many waiters.
#[derive(Debug)]
struct Cell<T> {
    value: Option<Result<T, ()>>,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Land<T>(Arc<Mutex<Cell<T>>>);

#[derive(Debug, Clone)]
pub(crate) struct Landed<T>(Arc<Mutex<Cell<T>>>);

pub(crate) fn landing<T: Clone>() -> (Land<T>, Landed<T>) {
    let cell = Arc::new(Mutex::new(Cell { value: None, waiting: Vec::new() }));
    (Land(cell.clone()), Landed(cell))
}

fn settle<T>(cell: &Mutex<Cell<T>>, value: Result<T, ()>) {
    let mut cell = cell.lock().unwrap();
    cell.value.get_or_insert(value);
    let waiting = std::mem::take(&mut cell.waiting);
    drop(cell);
    waiting.into_iter().for_each(Waker::wake);
}

impl<T> Land<T> {
    pub(crate) fn send(self, value: T) -> Result<(), T> {
        settle(&self.0, Ok(value));
        Ok(())
    }
}

impl<T> Drop for Land<T> {
    fn drop(&mut self) {
        settle(&self.0, Err(()));
    }
}

impl<T: Clone> Future for Landed<T> {
    type Output = Result<T, ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = self.0.lock().unwrap();
        if let Some(value) = &cell.value {
            return Poll::Ready(value.clone());
        }
        cell.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

/// A runtime in which each task has a thread of its own.
pub(crate) struct Handle;

/// Ends a task at its next poll, for which it wakes it.
#[derive(Debug, Clone)]
pub(crate) struct AbortHandle(Arc<Mutex<Abort>>);

#[derive(Debug, Default)]
struct Abort {
    told: bool,
    waker: Option<Waker>,
}

impl Handle {
    pub(crate) fn try_current() -> Result<Self, ()> {
        Ok(Self)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let cell = Arc::new(Mutex::new(Abort::default()));
        let handle = AbortHandle(cell.clone());
        loom::thread::spawn(move || {
            let mut task = Box::pin(task);
            loom::future::block_on(std::future::poll_fn(|cx| {
                let mut abort = cell.lock().unwrap();
                abort.waker = Some(cx.waker().clone());
                let told = abort.told;
                drop(abort);
                if told { Poll::Ready(()) } else { task.as_mut().poll(cx) }
            }));
            cell.lock().unwrap().waker = None;
        });
        handle
    }
}

impl AbortHandle {
    /// What tokio gives from its `JoinHandle`.
    pub(crate) fn abort_handle(&self) -> Self {
        self.clone()
    }

    pub(crate) fn abort(&self) {
        let mut abort = self.0.lock().unwrap();
        abort.told = true;
        let waker = abort.waker.take();
        drop(abort);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

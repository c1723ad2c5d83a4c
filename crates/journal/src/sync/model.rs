//! The same over loom's locks, and what the models share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LockResult};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use loom::sync::MutexGuard;
use trunkline_core_types::{BoxFuture, Clock, Intent, SystemClock};

/// Rests up to this long end by themselves; whoever rests longer has to be woken.
const SHORT: Duration = Duration::from_millis(100);

/// Runs `model` under every interleaving with at most two preemptions. A wake-up that is lost is reported as a deadlock.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(2));
    search.check(model);
}

/// Polls once, as a caller does who then gives up.
pub(crate) fn glance<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A call whose fence has not passed.
pub(crate) fn intent(key: &str) -> Arc<Intent> {
    let fence = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    let (key, account) = (key.parse().unwrap(), "main".parse().unwrap());
    Arc::new(Intent { key, account, detail: "call".into(), fence })
}

/// Its wall goes on by a second with each look at it, so that what ended is older than the next thing.
#[derive(Debug)]
pub(crate) struct ModelClock {
    now: Instant,
    looks: AtomicU64,
}

impl ModelClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now: SystemClock::new().now(), looks: AtomicU64::new(0) })
    }
}

impl Clock for ModelClock {
    fn now(&self) -> Instant {
        self.now
    }

    fn wall(&self) -> SystemTime {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(looks)
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

pub(crate) struct Waited(bool);

impl Waited {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        rest: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, Waited)> {
        match rest <= SHORT {
            true => Ok((guard, Waited(true))),
            false => Ok((self.0.wait(guard).unwrap(), Waited(false))),
        }
    }
}

/// A channel for one value, by the simplest thing that keeps its promise.
pub(crate) mod oneshot {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use loom::sync::Mutex;

    #[derive(Debug)]
    struct Cell<T> {
        value: Option<T>,
        is_closed: bool,
        waiting: Option<Waker>,
    }

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Mutex<Cell<T>>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Mutex<Cell<T>>>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let cell = Arc::new(Mutex::new(Cell { value: None, is_closed: false, waiting: None }));
        (Sender(cell.clone()), Receiver(cell))
    }

    impl<T> Sender<T> {
        pub(crate) fn is_closed(&self) -> bool {
            self.0.lock().unwrap().is_closed
        }

        pub(crate) fn send(self, value: T) -> Result<(), T> {
            let mut cell = self.0.lock().unwrap();
            if cell.is_closed {
                return Err(value);
            }
            cell.value = Some(value);
            Ok(())
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut cell = self.0.lock().unwrap();
            cell.is_closed = true;
            let waiting = cell.waiting.take();
            drop(cell);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn close(&mut self) {
            self.0.lock().unwrap().is_closed = true;
        }

        pub(crate) fn try_recv(&mut self) -> Result<T, ()> {
            self.0.lock().unwrap().value.take().ok_or(())
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.close();
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, ()>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let mut cell = self.0.lock().unwrap();
            match cell.value.take() {
                Some(value) => Poll::Ready(Ok(value)),
                None if cell.is_closed => Poll::Ready(Err(())),
                None => {
                    cell.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }
    }
}

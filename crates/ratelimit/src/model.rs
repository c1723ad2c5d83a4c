//! What the loom models share: a clock that stands until it is moved, and the search itself.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use loom::sync::Mutex;
use trunkline_core_types::{BoxFuture, Clock, SystemClock};

/// Runs `model` under every interleaving with at most three preemptions. A wake-up that is lost is reported as a deadlock.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(3));
    search.check(model);
}

/// Polls once, as a caller does who then gives up.
pub(crate) fn glance<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Stands still unless it is moved.
#[derive(Debug)]
pub(crate) struct ModelClock {
    origin: Instant,
    hands: Arc<Mutex<Hands>>,
}

#[derive(Debug, Default)]
struct Hands {
    since: Duration,
    sleepers: Vec<(Duration, Waker)>,
}

impl ModelClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { origin: SystemClock::new().now(), hands: Arc::default() })
    }

    pub(crate) fn after(&self, time: Duration) -> Instant {
        self.origin + time
    }

    /// Moves to this time after the beginning and wakes whoever is due.
    pub(crate) fn move_to(&self, since: Duration) {
        let mut hands = self.hands.lock().unwrap();
        hands.since = since;
        let (due, later) = hands.sleepers.drain(..).partition(|(at, _)| *at <= since);
        hands.sleepers = later;
        drop(hands);
        Vec::into_iter(due).for_each(|(_, waker)| waker.wake());
    }
}

impl Clock for ModelClock {
    fn now(&self) -> Instant {
        self.origin + self.hands.lock().unwrap().since
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.hands.lock().unwrap().since
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let (at, hands) = (at.saturating_duration_since(self.origin), self.hands.clone());
        Box::pin(std::future::poll_fn(move |cx| {
            let mut hands = hands.lock().unwrap();
            if hands.since >= at {
                return Poll::Ready(());
            }
            hands.sleepers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
            hands.sleepers.push((at, cx.waker().clone()));
            Poll::Pending
        }))
    }
}

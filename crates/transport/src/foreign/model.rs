//! An attempt against a client that asks for its body on another thread, under every interleaving: unsent is only what never left.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Body;
use loom::future::{AtomicWaker, block_on};
use loom::sync::Mutex;
use loom::thread::{self, JoinHandle};
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, Deadline, Evidence, FailureKind, Idempotency, Outcome,
    StatusOnly, SystemClock,
};

use super::{Failure, Foreign};
use crate::{GateBody, TransportSettings};

/// Stands still; what is due within the first time is over at once, and everything else never.
#[derive(Debug)]
struct Still(Instant, Duration);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        match at <= self.0 + self.1 {
            true => Box::pin(std::future::ready(())),
            false => Box::pin(std::future::pending()),
        }
    }
}

/// Asks for the body once, on a thread of its own, and answers if it got it.
#[derive(Default)]
struct Client {
    left: Mutex<Option<bool>>,
    waker: AtomicWaker,
    asking: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    fn start(self: &Arc<Self>, mut body: GateBody) {
        let client = self.clone();
        let asking = thread::spawn(move || {
            let asked = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            *client.left.lock().unwrap() = Some(matches!(asked, Poll::Ready(Some(Ok(_)))));
            client.waker.wake();
        });
        *self.asking.lock().unwrap() = Some(asking);
    }

    async fn call(self: Arc<Self>, request: Request<GateBody>) -> Result<Response<Empty<Bytes>>, Failure> {
        self.start(request.into_body());
        let left = poll_fn(|cx| {
            self.waker.register_by_ref(cx.waker());
            self.left.lock().unwrap().map_or(Poll::Pending, Poll::Ready)
        });
        match left.await {
            true => Ok(Response::new(Empty::new())),
            false => Err(Failure::open(AttemptError::new(FailureKind::Connection, "the gate is shut"))),
        }
    }

    /// Whether the body left, now or later.
    fn left(&self) -> bool {
        let asking = self.asking.lock().unwrap().take();
        asking.unwrap().join().unwrap();
        self.left.lock().unwrap().unwrap()
    }
}

/// Runs an attempt through such a client whose times up to `over` are over at once; whether its body left, what `run` made of it, and
/// its cell.
fn explore<T: 'static>(over: Duration, run: fn(BoxFuture<'_, Outcome>) -> T, check: fn(bool, T, Class)) {
    loom::model(move || {
        let now = SystemClock::new().now();
        let clock = Arc::new(Still(now, over));
        let (origin, judge) = ("https://pay.example.com".parse().unwrap(), Arc::new(StatusOnly::default()));
        let deadline = Deadline::At(now + Duration::from_secs(20));
        let foreign = Foreign::new(origin, TransportSettings::default(), judge, clock, true).unwrap();
        let request = Request::post("https://pay.example.com/refunds").body("{}".into()).unwrap();
        let attempt = Attempt::change(request, Idempotency::No, deadline);
        let (evidence, client): (Evidence, Arc<Client>) = (attempt.evidence().clone(), Arc::default());
        let called = client.clone();
        let ended = run(Box::pin(foreign.exchange(attempt, |request| called.call(request))));
        let class = evidence.class();
        check(client.left(), ended, class);
    });
}

#[test]
fn an_attempt_whose_time_to_connect_is_over_is_unsent_or_waits_for_its_reply() {
    explore(
        TransportSettings::default().connect_timeout,
        |attempt| block_on(attempt),
        |left, outcome, class| {
            let want = if left { Class::Accepted } else { Class::Unsent };
            assert_eq!((outcome.class, class), (want, want), "{outcome:?}");
        },
    );
}

#[test]
fn an_attempt_whose_times_are_all_over_is_unsent_or_ambiguous() {
    explore(
        Duration::from_secs(20),
        |attempt| block_on(attempt),
        |left, outcome, class| {
            let want = [if left { Class::Ambiguous } else { Class::Unsent }, Class::Accepted];
            assert!(want[..1 + usize::from(left)].contains(&class), "{outcome:?}");
            assert_eq!(outcome.class, class);
        },
    );
}

#[test]
fn a_dropped_attempt_is_unsent_if_its_body_never_left() {
    explore(
        Duration::ZERO,
        |mut attempt| attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(),
        |left, ended, class| {
            let want = match (left, ended) {
                (false, _) => Class::Unsent,
                (true, false) => Class::Ambiguous,
                (true, true) => Class::Accepted,
            };
            assert_eq!(class, want);
        },
    );
}

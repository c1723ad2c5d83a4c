//! The breaker under every interleaving of its locks: no probe too many, none lost, and the observer knows the present state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::Request;
use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, BreakerState, Class, Clock, Deadline, Fact, FailureKind, HttpService,
    Observer, Outcome, Reply, SeededEntropy, SystemClock,
};

use super::{Breaker, BreakerSettings};

/// Runs `model` under every interleaving with at most three preemptions.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(3));
    search.check(model);
}

/// Stands still; the hand is moved where no thread looks.
#[derive(Debug)]
struct Still(Instant, AtomicU32);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::SeqCst).into())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Ends attempts as their path says; at most one that hangs is there at once.
#[derive(Debug, Default)]
struct Below(AtomicU32);

struct Hanging<'a>(&'a AtomicU32);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HttpService for Below {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        let path = attempt.request().uri().path().to_owned();
        Box::pin(async move {
            match &*path {
                "/well" => return Outcome::new(Class::Accepted, Ok(Reply::new(Default::default()))),
                "/hangs" => {
                    assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two probes at once");
                    let _there = Hanging(&self.0);
                    thread::yield_now();
                    std::future::pending::<()>().await;
                }
                "/late" => {
                    let mut polled = false;
                    std::future::poll_fn(|_| {
                        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
                _ => {}
            }
            Outcome::unsent(AttemptError::new(FailureKind::Connect, "refused"))
        })
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<BreakerState>>);

impl Observer for Heard {
    fn saw(&self, fact: Fact) {
        if let Fact::Breaker { state } = fact {
            self.0.lock().unwrap().push(state);
        }
    }
}

struct World {
    clock: Arc<Still>,
    heard: Arc<Heard>,
    breaker: Arc<Breaker>,
}

/// Two failures open it for 30 s; so many probes.
fn world(probes: u32) -> World {
    let clock = Arc::new(Still(SystemClock::new().now(), AtomicU32::new(0)));
    let heard = Arc::new(Heard::default());
    let settings = BreakerSettings { minimum: 2, probes, ..BreakerSettings::default() };
    let entropy = Arc::new(SeededEntropy::new(1));
    let below = Arc::new(Below::default());
    let breaker = Breaker::new(below, settings, clock.clone(), entropy, heard.clone()).unwrap();
    World { clock, heard, breaker: Arc::new(breaker) }
}

fn attempt(path: &str, clock: &Still) -> Attempt {
    let request = Request::get(path).body(Default::default()).unwrap();
    Attempt::read(request, Deadline::At(clock.now() + Duration::from_secs(10)))
}

fn poll(future: &mut BoxFuture<'_, Outcome>) -> Poll<Outcome> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

impl World {
    /// Another caller, on a thread of its own, who gives up at once if it has to wait.
    fn caller(&self, path: &'static str) -> thread::JoinHandle<()> {
        let (breaker, clock) = (self.breaker.clone(), self.clock.clone());
        thread::spawn(move || drop(poll(&mut breaker.send(attempt(path, &clock)))))
    }

    fn send(&self, path: &str) -> Class {
        block_on(self.breaker.send(attempt(path, &self.clock))).class
    }

    /// Open, and its time is over.
    fn open(&self) {
        assert_eq!([self.send("/ill"), self.send("/ill")], [Class::Unsent; 2]);
        self.clock.1.store(40, Ordering::SeqCst);
    }

    fn assert_heard(&self) {
        let (state, heard) = (self.breaker.handle().state(), self.heard.0.lock().unwrap());
        assert_eq!(heard.last(), Some(&state), "{heard:?}");
        assert!(heard.windows(2).all(|pair| pair[0] != pair[1]), "{heard:?}");
    }
}

#[test]
fn probes_that_are_dropped_come_back_and_a_late_failure_is_none_of_theirs() {
    explore(|| {
        let world = world(1);
        let mut late = world.breaker.send(attempt("/late", &world.clock));
        assert!(poll(&mut late).is_pending());
        world.open();
        let callers = [world.caller("/hangs"), world.caller("/hangs")];
        assert!(poll(&mut late).is_ready());
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(
            (world.breaker.handle().state(), world.breaker.handle().wait()),
            (BreakerState::HalfOpen, None)
        );
        assert_eq!(world.send("/well"), Class::Accepted);
        assert_eq!(world.breaker.handle().state(), BreakerState::Closed);
        world.assert_heard();
    });
}

#[test]
fn two_probes_that_differ_leave_it_open_or_probing_and_heard_of() {
    explore(|| {
        let world = world(2);
        world.open();
        let other = world.caller("/ill");
        world.send("/well");
        other.join().unwrap();
        assert_eq!(world.breaker.handle().state(), BreakerState::Open);
        world.assert_heard();
        world.clock.1.store(80, Ordering::SeqCst);
        assert_eq!([world.send("/well"), world.send("/well")], [Class::Accepted; 2]);
        assert_eq!(world.breaker.handle().state(), BreakerState::Closed);
        world.assert_heard();
    });
}

#[test]
fn failures_on_two_threads_open_it_once() {
    explore(|| {
        let world = world(1);
        let other = world.caller("/ill");
        world.send("/ill");
        other.join().unwrap();
        assert_eq!(*world.heard.0.lock().unwrap(), [BreakerState::Closed, BreakerState::Open]);
    });
}

#[test]
fn probes_that_are_held_without_being_polled_give_way_to_one_other() {
    explore(|| {
        let world = world(1);
        world.open();
        let mut held = world.breaker.send(attempt("/late", &world.clock));
        assert!(poll(&mut held).is_pending());
        // A second after its deadline.
        world.clock.1.store(51, Ordering::SeqCst);
        let callers = [world.caller("/hangs"), world.caller("/hangs")];
        drop(held);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(world.breaker.handle().wait(), None);
        assert_eq!(world.send("/well"), Class::Accepted);
        assert_eq!(world.breaker.handle().state(), BreakerState::Closed);
        world.assert_heard();
    });
}

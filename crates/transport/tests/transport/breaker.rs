//! The breaker over a scripted layer below it, in virtual time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trunkline_core_types::{
    Ask, Attempt, BoxFuture, BreakerState, Class, Clock, Denied, DeniedKind, Entropy, Fact, FailureKind,
    HttpService, KeyErrorKind, Lane, Observer, Outcome, Pacer, Permit, Scope, SeededEntropy, Slot,
};
use trunkline_transport::{Breaker, BreakerHandle, BreakerSettings, Limiter};

use crate::layers::{Below, clock, failure, reply};
use crate::retry::Facts;
use crate::scripted::{create, create_within};

const SECOND: Duration = Duration::from_secs(1);

/// Draws nothing on top.
#[derive(Debug)]
struct Least;

impl Entropy for Least {
    fn next(&self) -> u64 {
        0
    }
}

fn layer(below: &Arc<Below>, facts: &Arc<Facts>) -> (Breaker, BreakerHandle) {
    let settings = BreakerSettings::default();
    let breaker = Breaker::new(below.clone(), settings, clock(), Arc::new(Least), facts.clone()).unwrap();
    let handle = breaker.handle();
    (breaker, handle)
}

fn refused() -> Outcome {
    failure(Class::Unsent, FailureKind::Connect)
}

fn placed() -> Outcome {
    reply(Class::Accepted, 201)
}

/// A breaker that 20 refused connections have opened, and what it meets next.
async fn opened(next: impl IntoIterator<Item = Outcome>) -> (Breaker, BreakerHandle, Arc<Below>, Arc<Facts>) {
    let below = Below::new((0..20).map(|_| refused()).chain(next));
    let facts = Arc::new(Facts::default());
    let (breaker, handle) = layer(&below, &facts);
    for _ in 0..20 {
        breaker.send(create()).await;
    }
    assert_eq!(handle.state(), BreakerState::Open);
    (breaker, handle, below, facts)
}

async fn pass(time: Duration) {
    clock().sleep_until(clock().now() + time).await;
}

fn poll(future: &mut (impl Future<Output = Outcome> + Unpin)) -> Poll<Outcome> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn kind(outcome: &Outcome) -> Option<FailureKind> {
    outcome.result.as_ref().err().map(|error| error.kind())
}

/// Takes its time before each attempt ends.
#[derive(Debug)]
struct Slow(Arc<Below>, Duration);

impl HttpService for Slow {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let outcome = self.0.send(attempt).await;
            pass(self.1).await;
            outcome
        })
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.0.warm(attempt)
    }
}

/// Whether 40 attempts that end so, each after `took`, open it.
async fn opens_on(outcome: impl Fn() -> Outcome, took: Duration) -> bool {
    let below = Slow(Below::new((0..40).map(|_| outcome())), took);
    let mut settings = BreakerSettings::default();
    settings.window = Duration::from_secs(3600);
    let facts = Arc::new(Facts::default());
    let breaker = Breaker::new(Arc::new(below), settings, clock(), Arc::new(Least), facts).unwrap();
    for _ in 0..40 {
        breaker.send(create()).await;
    }
    breaker.handle().is_open()
}

#[tokio::test(start_paused = true)]
async fn opens_on_evidence_about_the_provider() {
    use FailureKind as Kind;
    for kind in [Kind::Resolve, Kind::Connect, Kind::Tls] {
        assert!(opens_on(|| failure(Class::Unsent, kind), Duration::ZERO).await, "{kind:?}");
    }
    for kind in [Kind::Connection, Kind::Protocol] {
        assert!(opens_on(|| failure(Class::Ambiguous, kind), Duration::ZERO).await, "{kind:?}");
    }
    for status in [500, 502, 503, 529] {
        assert!(opens_on(|| reply(Class::Ambiguous, status), Duration::ZERO).await, "{status}");
    }
    for class in [Class::Unsent, Class::Ambiguous] {
        assert!(opens_on(|| failure(class, Kind::Timeout), SECOND).await, "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stays_closed_on_anything_else() {
    use FailureKind as Kind;
    for (class, status) in [
        (Class::Accepted, 201),
        (Class::Ambiguous, 302),
        (Class::Rejected(Scope::Call), 400),
        (Class::Rejected(Scope::Account), 401),
        (Class::Rejected(Scope::Account), 403),
        (Class::Ambiguous, 408),
        (Class::Ambiguous, 409),
        (Class::Deferred, 429),
        (Class::Rejected(Scope::Call), 429),
    ] {
        assert!(!opens_on(|| reply(class, status), 5 * SECOND).await, "{status}");
    }
    for kind in [
        Kind::Request,
        Kind::StaleConnection,
        Kind::LatePermit,
        Kind::Denied(DeniedKind::Full),
        Kind::Key(KeyErrorKind::Unavailable),
        Kind::Journal,
        Kind::Dropped,
        Kind::BreakerOpen,
    ] {
        assert!(!opens_on(|| failure(Class::Unsent, kind), 5 * SECOND).await, "{kind:?}");
    }
    let hasty = Duration::from_millis(999);
    assert!(!opens_on(|| failure(Class::Ambiguous, Kind::Timeout), hasty).await, "the caller's haste");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_shows_nothing() {
    let below = Below::new([]);
    let (breaker, handle) = layer(&below, &Arc::default());
    for _ in 0..40 {
        let mut future = breaker.send(create());
        assert!(poll(&mut future).is_pending());
    }
    assert_eq!((handle.state(), below.times().len()), (BreakerState::Closed, 40));
}

#[tokio::test(start_paused = true)]
async fn while_open_nothing_below_hears_of_an_attempt() {
    let (breaker, handle, below, _) = opened([]).await;
    let attempt = create();
    breaker.warm(&attempt).await;
    let outcome = breaker.send(attempt).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::BreakerOpen)));
    assert_eq!((outcome.wait, handle.wait(), handle.is_open()), (Some(30 * SECOND), Some(30 * SECOND), true));
    assert_eq!(below.times().len(), 20);
    assert!(!below.log.lock().unwrap().contains(&"warm".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_permit_of_a_refused_attempt_goes_back() {
    let (breaker, ..) = opened([]).await;
    let pacer = LocalSlots::default();
    let limiter =
        Limiter::new(Arc::new(breaker), Arc::new(pacer.clone()), clock(), Arc::new(Facts::default()));
    assert_eq!(kind(&limiter.send(create()).await), Some(FailureKind::BreakerOpen));
    assert_eq!(*pacer.0.lock().unwrap(), ["given back"]);
}

#[tokio::test(start_paused = true)]
async fn of_many_callers_at_once_three_probe() {
    let (breaker, handle, below, _) = opened([]).await;
    pass(30 * SECOND).await;
    assert_eq!((handle.state(), handle.is_open()), (BreakerState::HalfOpen, false));
    let mut callers: Vec<_> = (0..50).map(|_| breaker.send(create())).collect();
    let refused = callers.iter_mut().filter_map(|caller| match poll(caller) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!((refused.len(), below.times().len()), (47, 23));
    assert!(refused.iter().all(|outcome| kind(outcome) == Some(FailureKind::BreakerOpen)));
    assert!(refused.iter().all(|outcome| outcome.wait.is_some_and(|wait| !wait.is_zero())));
    assert!(handle.is_open(), "every probe is under way");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_gives_its_place_back() {
    let (breaker, handle, below, _) = opened([]).await;
    pass(30 * SECOND).await;
    for round in 1..=20 {
        let mut callers: Vec<_> = (0..4).map(|_| breaker.send(create())).collect();
        let pending = callers.iter_mut().filter_map(|caller| poll(caller).is_pending().then_some(())).count();
        assert_eq!((pending, below.times().len()), (3, 20 + 3 * round));
    }
    // Made and never polled, it holds no place.
    let _unpolled: Vec<_> = (0..9).map(|_| breaker.send(create())).collect();
    assert_eq!((handle.state(), handle.is_open()), (BreakerState::HalfOpen, false));
}

/// A future that is held and not polled ends at no deadline.
#[tokio::test(start_paused = true)]
async fn probes_that_nobody_polls_block_it_until_their_deadlines_and_no_longer() {
    let (breaker, handle, below, _) = opened([]).await;
    pass(30 * SECOND).await;
    let mut held: Vec<_> = (0..3).map(|_| breaker.send(create_within(10 * SECOND))).collect();
    held.iter_mut().for_each(|probe| assert!(poll(probe).is_pending()));
    pass(10 * SECOND).await;
    assert!(handle.is_open(), "they may be about to end");
    pass(SECOND).await;
    assert_eq!((handle.state(), handle.is_open()), (BreakerState::HalfOpen, false));
    below.outcomes.lock().unwrap().extend((0..3).map(|_| placed()));
    for _ in 0..3 {
        breaker.send(create()).await;
    }
    assert_eq!(handle.state(), BreakerState::Closed);
    drop(held);
    assert_eq!(handle.state(), BreakerState::Closed, "they are of an older epoch");
}

/// Panics once it is told that a breaker probes.
#[derive(Debug)]
struct Startled;

impl Observer for Startled {
    fn saw(&self, fact: Fact) {
        assert_ne!(fact, Fact::Breaker { state: BreakerState::HalfOpen });
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_costs_no_probe() {
    let below = Below::new((0..20).map(|_| refused()).chain((0..3).map(|_| placed())));
    let settings = BreakerSettings::default();
    let breaker =
        Arc::new(Breaker::new(below, settings, clock(), Arc::new(Least), Arc::new(Startled)).unwrap());
    for _ in 0..20 {
        breaker.send(create()).await;
    }
    pass(30 * SECOND).await;
    let first = breaker.clone();
    assert!(tokio::spawn(async move { first.send(create()).await }).await.unwrap_err().is_panic());
    for _ in 0..3 {
        assert_eq!(breaker.send(create()).await.class, Class::Accepted);
    }
    assert_eq!(breaker.handle().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn good_probes_close_it_and_a_bad_one_opens_it_again() {
    let (breaker, handle, _, _) = opened([placed(), placed(), refused()]).await;
    pass(30 * SECOND).await;
    for _ in 0..3 {
        assert_eq!(handle.state(), BreakerState::HalfOpen);
        breaker.send(create()).await;
    }
    assert_eq!(handle.state(), BreakerState::Open);

    let (breaker, handle, _, facts) =
        opened([placed(), reply(Class::Deferred, 429), placed(), placed()]).await;
    pass(30 * SECOND).await;
    for _ in 0..4 {
        assert_eq!(handle.state(), BreakerState::HalfOpen);
        breaker.send(create()).await;
    }
    use BreakerState as State;
    let told = [State::Closed, State::Open, State::HalfOpen, State::Closed];
    assert_eq!(facts.take(), told.map(|state| Fact::Breaker { state }));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_an_older_epoch_is_ignored() {
    // Two attempts are under way while twenty fail; one fails while the breaker is open, the other while it probes.
    let below = Arc::new(Slow(Below::new((0..25).map(|_| refused())), 40 * SECOND));
    let settings = BreakerSettings::default();
    let breaker =
        Breaker::new(below.clone(), settings, clock(), Arc::new(Least), Arc::new(Facts::default())).unwrap();
    let handle = breaker.handle();
    let mut early: Vec<_> = (0..20).map(|_| breaker.send(create())).collect();
    early.iter_mut().for_each(|attempt| assert!(poll(attempt).is_pending()));
    pass(10 * SECOND).await;
    let mut late = breaker.send(create());
    assert!(poll(&mut late).is_pending());
    pass(29 * SECOND).await;
    let mut later = breaker.send(create());
    assert!(poll(&mut later).is_pending());
    pass(SECOND).await;
    early.iter_mut().for_each(|attempt| assert!(poll(attempt).is_ready()));
    assert_eq!(handle.wait(), Some(30 * SECOND));
    pass(10 * SECOND).await;
    assert!(poll(&mut late).is_ready());
    assert_eq!(handle.wait(), Some(20 * SECOND), "its failure opened nothing anew");
    pass(20 * SECOND).await;
    let mut probe = breaker.send(create());
    assert!(poll(&mut probe).is_pending());
    pass(9 * SECOND).await;
    assert!(poll(&mut later).is_ready());
    assert_eq!((handle.state(), handle.is_open()), (BreakerState::HalfOpen, false));
}

#[tokio::test(start_paused = true)]
async fn the_open_time_is_drawn_up_to_a_quarter_more() {
    let mut waits = Vec::new();
    for seed in 0..50 {
        let below = Below::new((0..20).map(|_| refused()));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let breaker =
            Breaker::new(below, BreakerSettings::default(), clock(), entropy, Arc::new(Facts::default()))
                .unwrap();
        for _ in 0..20 {
            breaker.send(create()).await;
        }
        waits.push(breaker.handle().wait().unwrap());
    }
    let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
    assert!(least >= 30 * SECOND && most < Duration::from_millis(37_500), "{least:?} {most:?}");
    assert!(most - least > 5 * SECOND, "{least:?} {most:?}");
}

#[tokio::test(start_paused = true)]
async fn in_bulk_warm_waits_for_the_open_time_and_no_longer_than_the_call_may() {
    let (breaker, ..) = opened([]).await;
    let started = clock().now();
    breaker.warm(&create()).await;
    assert_eq!(clock().now(), started, "a single call is told at once");
    let short = create_within(5 * SECOND).in_lane(Lane::Bulk);
    breaker.warm(&short).await;
    assert_eq!((clock().now() - started).as_secs(), 5);
    let long = create_within(600 * SECOND).in_lane(Lane::Bulk);
    breaker.warm(&long).await;
    assert_eq!((clock().now() - started).as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn closed_it_passes_warm_down() {
    let below = Below::new([]);
    let (breaker, _) = layer(&below, &Arc::default());
    breaker.warm(&create()).await;
    assert_eq!(*below.log.lock().unwrap(), ["warm"]);
}

#[tokio::test(start_paused = true)]
async fn never_means_never_and_bad_settings_are_named() {
    let below = Below::new((0..1000).map(|_| refused()));
    let never = BreakerSettings::never();
    let breaker =
        Breaker::new(below.clone(), never, clock(), Arc::new(Least), Arc::new(Facts::default())).unwrap();
    for _ in 0..1000 {
        breaker.send(create()).await;
    }
    assert_eq!(below.times().len(), 1000);
    let field = |change: fn(&mut BreakerSettings)| {
        let mut settings = BreakerSettings::default();
        change(&mut settings);
        settings.check().unwrap_err().field().to_owned()
    };
    assert_eq!(field(|s| s.minimum = 0), "minimum");
    assert_eq!(field(|s| s.failed_percent = 101), "failed_percent");
    assert_eq!(field(|s| s.probes = 0), "probes");
    assert_eq!(field(|s| s.window = Duration::from_millis(999)), "window");
    assert_eq!(field(|s| s.open_for = Duration::ZERO), "open_for");
    assert_eq!(field(|s| s.patience = Duration::from_secs(3601)), "patience");
}

/// An observer that asks for the state when it is told of one, which must not block.
#[derive(Debug, Default)]
struct Curious(std::sync::OnceLock<BreakerHandle>, Facts);

impl Observer for Curious {
    fn saw(&self, fact: Fact) {
        let seen = self.0.get().map(BreakerHandle::state);
        assert!(seen.is_none_or(|state| fact == Fact::Breaker { state }));
        self.1.saw(fact);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_may_ask_for_the_state() {
    let curious = Arc::new(Curious::default());
    let below = Below::new((0..20).map(|_| refused()));
    let breaker =
        Breaker::new(below, BreakerSettings::default(), clock(), Arc::new(Least), curious.clone()).unwrap();
    curious.0.set(breaker.handle()).unwrap();
    for _ in 0..20 {
        breaker.send(create()).await;
    }
    assert_eq!(curious.1.take().len(), 2);
}

/// Permits at once, and notes their end.
#[derive(Debug, Default, Clone)]
struct LocalSlots(Arc<Mutex<Vec<&'static str>>>);

impl Pacer for LocalSlots {
    fn acquire(&self, _: Ask) -> BoxFuture<'_, Result<Permit, Denied>> {
        let permit = Permit::new(clock().now() + SECOND, Some(Box::new(self.clone())));
        Box::pin(async { Ok(permit) })
    }
}

impl Slot for LocalSlots {
    fn spent(self: Box<Self>) {
        self.0.lock().unwrap().push("spent");
    }

    fn given_back(self: Box<Self>) {
        self.0.lock().unwrap().push("given back");
    }
}

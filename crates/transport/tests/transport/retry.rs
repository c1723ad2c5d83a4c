//! The retry layer's presets, budget and waits over a scripted layer below it, in virtual time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use trunkline_core_types::{
    Attempt, AttemptError, Class, Clock, Deadline, DeniedKind, Entropy, Fact, FailureKind, HttpService,
    Idempotency, KeyErrorKind, Lane, Observer, Outcome, Reply, VirtualClock,
};
use trunkline_transport::{BudgetSettings, Retry, RetryBudget, RetrySettings};

use crate::layers::{Below, Longest, clock, failure, keyed, reply};
use crate::scripted::{URL, create, request};

const SECOND: Duration = Duration::from_secs(1);

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Facts(Mutex<Vec<Fact>>);

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

impl Facts {
    pub(crate) fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn layer(below: &Arc<Below>, settings: RetrySettings, budget: &RetryBudget, facts: &Arc<Facts>) -> Retry {
    Retry::new(below.clone(), settings, clock(), Arc::new(Longest), facts.clone()).with_budget(budget.clone())
}

fn aws(below: &Arc<Below>, budget: &RetryBudget) -> Retry {
    layer(below, RetrySettings::aws_standard_2_1(), budget, &Arc::default())
}

fn budget(tokens: u32) -> RetryBudget {
    let mut settings = BudgetSettings::default();
    settings.tokens = tokens;
    RetryBudget::new(settings)
}

fn read() -> Attempt {
    read_within(600 * SECOND)
}

fn read_within(time: Duration) -> Attempt {
    Attempt::read(request(URL), Deadline::At(VirtualClock::new().now() + time))
}

fn broken() -> Outcome {
    reply(Class::Ambiguous, 500)
}

fn throttled() -> Outcome {
    reply(Class::Deferred, 429)
}

fn placed() -> Outcome {
    reply(Class::Accepted, 201)
}

fn with_header(class: Class, status: u16, name: &'static str, value: &str) -> Outcome {
    let response = Response::builder().status(status).header(name, value).body(Bytes::new()).unwrap();
    Outcome::new(class, Ok(Reply::new(response)))
}

/// Pauses between the attempts that arrived below, in milliseconds.
fn gaps(below: &Below) -> Vec<u128> {
    below.times().windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect()
}

fn near(got: &[u128], want: &[u128]) {
    let close = got.len() == want.len() && got.iter().zip(want).all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(close, "{got:?}, not {want:?}");
}

#[tokio::test(start_paused = true)]
async fn the_aws_preset_starts_at_50_ms_and_after_a_throttle_at_a_second() {
    let budget = budget(500);
    let below = Below::new([broken(), broken(), placed()]);
    assert_eq!(aws(&below, &budget).send(read()).await.tries, 3);
    near(&gaps(&below), &[50, 100]);

    let below = Below::new([throttled(), throttled(), placed()]);
    aws(&below, &budget).send(read()).await;
    near(&gaps(&below), &[1_000, 2_000]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_pays_and_a_success_gives_the_last_one_back() {
    let budget = budget(500);
    aws(&Below::new([broken(), broken(), placed()]), &budget).send(read()).await;
    assert_eq!(budget.left(), 486);
    aws(&Below::new([throttled(), placed()]), &budget).send(read()).await;
    assert_eq!(budget.left(), 486);
    aws(&Below::new([placed()]), &budget).send(read()).await;
    assert_eq!(budget.left(), 487);
    aws(&Below::new([broken(), broken(), broken()]), &budget).send(read()).await;
    assert_eq!(budget.left(), 459);
}

#[tokio::test(start_paused = true)]
async fn with_too_few_tokens_no_repeat_is_made_and_nothing_is_paid() {
    let (budget, facts) = (budget(20), Arc::new(Facts::default()));
    let below = Below::new([broken(), broken(), placed()]);
    let outcome = layer(&below, RetrySettings::article(), &budget, &facts).send(read()).await;
    assert_eq!((outcome.class, outcome.tries, budget.left()), (Class::Ambiguous, 2, 6));
    let [Fact::RetryBudget { tokens: 6 }, Fact::Retried { .. }, Fact::RetryRefused { class, .. }] =
        facts.take()[..]
    else {
        panic!("other facts");
    };
    assert_eq!(class, Class::Ambiguous);

    // What would not have been repeated anyway is no refusal of the budget.
    layer(&Below::new([reply(Class::Ambiguous, 500)]), RetrySettings::article(), &budget, &facts)
        .send(create())
        .await;
    assert_eq!((facts.take(), budget.left()), (Vec::new(), 6));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_an_account_share_one_budget() {
    let budget = budget(14);
    let one = aws(&Below::new([broken(), broken(), placed()]), &budget).send(read()).await;
    let other = aws(&Below::new([broken(), broken(), placed()]), &budget).send(read()).await;
    assert_eq!((one.tries, other.tries, budget.left()), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_gate_decides_before_the_budget() {
    let budget = budget(500);
    let below = Below::new([failure(Class::Ambiguous, FailureKind::Timeout), placed()]);
    let outcome = aws(&below, &budget).send(create()).await;
    assert_eq!((outcome.class, below.times().len(), budget.left()), (Class::Ambiguous, 1, 500));

    let key = Idempotency::Key { window: 60 * SECOND };
    let below = Below::new([failure(Class::Ambiguous, FailureKind::Timeout), placed()]);
    let outcome = aws(&below, &budget).send(keyed(key)).await;
    assert_eq!((outcome.class, outcome.tries, budget.left()), (Class::Accepted, 2, 500));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_dropped_in_its_pause_is_paid_back() {
    let budget = budget(500);
    let retry = aws(&Below::new([throttled(), placed()]), &budget);
    let mut future = retry.send(read());
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(budget.left(), 495);
    drop(future);
    assert_eq!(budget.left(), 500);
}

#[tokio::test(start_paused = true)]
async fn what_our_own_side_held_back_costs_nothing() {
    for kind in [
        FailureKind::StaleConnection,
        FailureKind::LatePermit,
        FailureKind::Key(KeyErrorKind::Unavailable),
        FailureKind::Denied(DeniedKind::Full),
    ] {
        let budget = budget(0);
        let held = || failure(Class::Unsent, kind).after(Some(SECOND));
        let outcome = aws(&Below::new([held(), held(), placed()]), &budget).send(read()).await;
        assert_eq!(outcome.class, Class::Accepted, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_counts_in_both_forms_up_to_its_bound() {
    let dated = |asked: &str| {
        Response::builder()
            .status(503)
            .header("date", "Wed, 21 Oct 2015 07:28:00 GMT")
            .header("retry-after", asked)
            .body(Bytes::new())
            .unwrap()
    };
    for (asked, want) in [
        ("4", 4_000),
        ("Wed, 21 Oct 2015 07:28:09 GMT", 9_000),
        ("Wed, 21 Oct 2015 07:27:09 GMT", 2_000),
        ("soon", 2_000),
        ("4000", 300_000),
    ] {
        let first = Outcome::new(Class::Ambiguous, Ok(Reply::new(dated(asked))));
        let below = Below::new([first, placed()]);
        layer(&below, RetrySettings::article(), &budget(500), &Arc::default()).send(read()).await;
        near(&gaps(&below), &[want]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_than_the_deadline_ends_it_at_once() {
    let started = clock().now();
    let below = Below::new([with_header(Class::Ambiguous, 503, "retry-after", "30"), placed()]);
    let retry = layer(&below, RetrySettings::article(), &budget(500), &Arc::default());
    let outcome = retry.send(read_within(30 * SECOND)).await;
    assert_eq!((outcome.class, below.times().len(), clock().now()), (Class::Ambiguous, 1, started));
}

#[tokio::test(start_paused = true)]
async fn a_keys_window_runs_from_the_first_reading_on_the_attempts_way() {
    for (waited, tries) in [(Duration::ZERO, 2), (2 * SECOND, 1)] {
        let below = Below::new([broken(), placed()]);
        let mut attempt = keyed(Idempotency::Key { window: 3 * SECOND });
        attempt.at(&*clock());
        clock().sleep_until(clock().now() + waited).await;
        let outcome =
            layer(&below, RetrySettings::article(), &budget(500), &Arc::default()).send(attempt).await;
        assert_eq!((outcome.tries, below.times().len()), (tries, tries as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn settings_of_one_operation_override_those_of_the_layer() {
    let budget = budget(500);
    let below = Below::new([throttled(), placed(), throttled(), placed()]);
    let retry = aws(&below, &budget);
    let mut single = read();
    RetrySettings::never().attach(&mut single);
    assert_eq!((retry.send(single).await.class, below.times().len()), (Class::Deferred, 1));
    below.outcomes.lock().unwrap().pop_front();

    let mut patient = read();
    let mut settings = RetrySettings::article();
    settings.throttle_base = 7 * SECOND;
    settings.attach(&mut patient);
    assert_eq!(retry.send(patient).await.tries, 2);
    near(&gaps(&below)[1..], &[7_000]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_a_single_call_and_holds_one_in_bulk() {
    let refused = || failure(Class::Unsent, FailureKind::BreakerOpen).after(Some(SECOND));
    let below = Below::new([refused(), placed()]);
    let outcome = aws(&below, &budget(500)).send(create()).await;
    assert_eq!((outcome.class, below.times().len(), outcome.wait), (Class::Unsent, 1, Some(SECOND)));

    let below = Below::new([refused(), refused(), refused(), refused(), placed()]);
    let outcome = aws(&below, &budget(0)).send(create().in_lane(Lane::Bulk)).await;
    assert_eq!((outcome.class, outcome.tries), (Class::Accepted, 1));
    near(&gaps(&below), &[1_000; 4]);
}

/// Draws a known fraction.
#[derive(Debug)]
struct Half;

impl Entropy for Half {
    fn next(&self) -> u64 {
        1 << 63
    }
}

#[tokio::test(start_paused = true)]
async fn the_pause_is_drawn_from_the_injected_source() {
    let below = Below::new([broken(), broken(), placed()]);
    let settings = RetrySettings::article();
    Retry::new(below.clone(), settings, clock(), Arc::new(Half), Arc::new(Facts::default()))
        .send(read())
        .await;
    near(&gaps(&below), &[1_000, 2_000]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_a_fact() {
    let facts = Arc::new(Facts::default());
    let stale = || Outcome::unsent(AttemptError::new(FailureKind::StaleConnection, "scripted"));
    let below = Below::new([stale(), placed()]);
    layer(&below, RetrySettings::article(), &budget(500), &facts).send(read()).await;
    assert_eq!(facts.take().iter().filter(|fact| **fact == Fact::StaleConnection).count(), 1);
}

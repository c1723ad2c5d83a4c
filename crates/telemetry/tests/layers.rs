//! The decorators: what they report of ended and dropped operations, in virtual time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, Deadline, Decision, Evidence, Fact, FailureKind,
    HttpService, Idempotency, Intent, Observer, Operation, Outcome, Question, Reply, VirtualClock, gate,
};
use trunkline_telemetry::{AttemptMetrics, CallMetrics};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Fact>>);

impl Observer for Seen {
    fn saw(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

impl Seen {
    fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A leaf that does as its script says, after a second of virtual time.
#[derive(Debug)]
struct Leaf {
    clock: VirtualClock,
    script: Script,
    warmed: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
enum Script {
    Replies(u16, Class),
    HeadThenBreaks(u16, Class),
    /// Waits for ever without a byte.
    Silent,
    /// Bytes leave, then nothing comes.
    Hangs,
    /// Bytes leave; giving up finds that the reply had come.
    HangsButAccepted,
}

/// Settles the evidence when the leaf's future is dropped, as a real one does.
struct OnDrop(Evidence, Class);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.settle(self.1);
    }
}

fn reply(status: u16) -> Reply {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Reply::new(response)
}

impl HttpService for Leaf {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            self.clock.sleep_until(self.clock.now() + SECOND).await;
            let evidence = attempt.evidence();
            match self.script {
                Script::Replies(status, class) => {
                    evidence.settle(class);
                    Outcome::new(class, Ok(reply(status)))
                }
                Script::HeadThenBreaks(status, class) => {
                    evidence.settle(class);
                    let error = AttemptError::new(FailureKind::Truncated, "the body ended early");
                    Outcome::new(class, Err(error.with_status(StatusCode::from_u16(status).unwrap())))
                }
                Script::Silent => std::future::pending().await,
                Script::Hangs => {
                    evidence.live();
                    std::future::pending().await
                }
                Script::HangsButAccepted => {
                    evidence.live();
                    let _last = OnDrop(evidence.clone(), Class::Accepted);
                    std::future::pending().await
                }
            }
        })
    }

    fn warm<'a>(&'a self, _attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.warmed.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

/// A retry layer in the small: repeats once, whatever came, and folds.
#[derive(Debug)]
struct Twice(Arc<dyn HttpService>, VirtualClock);

impl HttpService for Twice {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let (mut spare, now) = (attempt.spare(), self.1.now());
            let first = self.0.send(attempt).await;
            let question = Question {
                folded: first.class,
                last: first.class,
                operation: spare.operation(),
                idempotency: spare.idempotency(),
                tries_left: true,
                budget_left: true,
                after: Duration::ZERO,
                now,
                first: now,
                deadline: now + 60 * SECOND,
            };
            let Decision::Now { token } = gate(&question) else { panic!("no repeat") };
            let mut outcome = self.0.send(spare.repeat(token)).await;
            (outcome.class, outcome.tries) = (first.class.fold(outcome.class), 2);
            outcome
        })
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.0.warm(attempt)
    }
}

struct Stack {
    top: Arc<dyn HttpService>,
    leaf: Arc<Leaf>,
    seen: Arc<Seen>,
    clock: VirtualClock,
}

/// Call metrics over an optional retry over attempt metrics over a leaf.
fn stack(script: Script, retried: bool) -> Stack {
    let (clock, seen) = (VirtualClock::new(), Arc::new(Seen::default()));
    let leaf = Arc::new(Leaf { clock, script, warmed: AtomicU32::new(0) });
    let mut top: Arc<dyn HttpService> =
        Arc::new(AttemptMetrics::new(leaf.clone(), Arc::new(clock), seen.clone()));
    if retried {
        top = Arc::new(Twice(top, clock));
    }
    let top = Arc::new(CallMetrics::new(top, Arc::new(clock), seen.clone()));
    Stack { top, leaf, seen, clock }
}

impl Stack {
    fn create(&self) -> Attempt {
        let intent = Intent {
            key: "order-17".parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: Bytes::new(),
            fence: SystemTime::UNIX_EPOCH,
        };
        let deadline = Deadline::At(self.clock.now() + 60 * SECOND);
        let idempotency = Idempotency::Key { window: 3_600 * SECOND };
        Attempt::create(Request::new(Bytes::new()), Arc::new(intent), idempotency, deadline)
    }

    /// Sends and gives up after `patience`, as a caller's timeout does.
    async fn give_up_after(&self, patience: Duration) -> Vec<Fact> {
        let mut call = self.top.send(self.create());
        let mut patience = self.clock.sleep_until(self.clock.now() + patience);
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            patience.as_mut().poll(cx)
        })
        .await;
        assert_eq!(self.seen.take(), [], "nothing has ended yet");
        drop(call);
        self.seen.take()
    }
}

fn attempt(class: Class, status: Option<u16>, took: Duration) -> Fact {
    Fact::Attempt { operation: Operation::Create, class, status, took }
}

fn call(class: Class, tries: u32, took: Duration) -> Fact {
    Fact::Call { operation: Operation::Create, class, tries, took }
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_reported_once_by_each_layer() {
    for (status, class) in [(201, Class::Accepted), (429, Class::Deferred), (503, Class::Ambiguous)] {
        let stack = stack(Script::Replies(status, class), false);
        let outcome = stack.top.send(stack.create()).await;
        assert_eq!((outcome.class, outcome.status().unwrap().as_u16()), (class, status));
        assert_eq!(stack.seen.take(), [attempt(class, Some(status), SECOND), call(class, 1, SECOND)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_before_the_failure_gives_the_status() {
    let stack = stack(Script::HeadThenBreaks(200, Class::Accepted), false);
    drop(stack.top.send(stack.create()).await);
    let want = [attempt(Class::Accepted, Some(200), SECOND), call(Class::Accepted, 1, SECOND)];
    assert_eq!(stack.seen.take(), want);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_the_fold_and_the_tries_of_its_attempts() {
    let stack = stack(Script::Replies(503, Class::Ambiguous), true);
    drop(stack.top.send(stack.create()).await);
    let one = attempt(Class::Ambiguous, Some(503), SECOND);
    assert_eq!(stack.seen.take(), [one, one, call(Class::Ambiguous, 2, 2 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn dropped_before_a_byte_it_is_unsent() {
    let took = 3 * SECOND;
    let facts = stack(Script::Silent, false).give_up_after(took).await;
    assert_eq!(facts, [attempt(Class::Unsent, None, took), call(Class::Unsent, 0, took)]);
}

#[tokio::test(start_paused = true)]
async fn dropped_after_a_byte_it_is_ambiguous() {
    let took = 3 * SECOND;
    let facts = stack(Script::Hangs, false).give_up_after(took).await;
    assert_eq!(facts, [attempt(Class::Ambiguous, None, took), call(Class::Ambiguous, 1, took)]);
}

#[tokio::test(start_paused = true)]
async fn the_evidence_is_read_after_everything_below_is_gone() {
    let took = 3 * SECOND;
    let facts = stack(Script::HangsButAccepted, false).give_up_after(took).await;
    assert_eq!(facts, [attempt(Class::Accepted, None, took), call(Class::Accepted, 1, took)]);
}

#[tokio::test(start_paused = true)]
async fn dropped_in_the_repeat_the_call_keeps_the_fold() {
    let stack = stack(Script::Replies(503, Class::Ambiguous), true);
    let mut sent = stack.top.send(stack.create());
    let mut patience = stack.clock.sleep_until(stack.clock.now() + SECOND * 3 / 2);
    std::future::poll_fn(|cx| {
        assert!(sent.as_mut().poll(cx).is_pending());
        patience.as_mut().poll(cx)
    })
    .await;
    drop(sent);
    // The second attempt had sent nothing; the first is still unknown.
    let want = [
        attempt(Class::Ambiguous, Some(503), SECOND),
        attempt(Class::Unsent, None, SECOND / 2),
        call(Class::Ambiguous, 1, SECOND * 3 / 2),
    ];
    assert_eq!(stack.seen.take(), want);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_polled_never_happened() {
    let stack = stack(Script::Silent, false);
    drop(stack.top.send(stack.create()));
    assert_eq!(stack.seen.take(), []);
}

#[tokio::test(start_paused = true)]
async fn warming_is_passed_down_and_reports_nothing() {
    let stack = stack(Script::Silent, false);
    stack.top.warm(&stack.create()).await;
    assert_eq!((stack.leaf.warmed.load(Ordering::Relaxed), stack.seen.take()), (1, vec![]));
}

#[test]
fn everything_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<CallMetrics>();
    shared::<AttemptMetrics>();
    shared::<trunkline_telemetry::MetricsObserver>();
}

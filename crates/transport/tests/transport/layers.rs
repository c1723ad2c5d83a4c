//! Each layer over a scripted one below it, in virtual time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use trunkline_core_types::{
    Ask, Attempt, AttemptError, AttemptJournal, BoxFuture, Claim, Class, Clock, ClockExt, Deadline, Denied,
    DeniedKind, Entropy, Evidence, FailureKind, HttpService, Idempotency, IdempotencyKey, Intent,
    JournalError, JournalErrorKind, KeyError, KeyErrorKind, Lane, Outcome, Pacer, Permit, Reply, Scope, Sign,
    Signal, Slot, Unobserved, VirtualClock,
};
use trunkline_journal::MemoryJournal;
use trunkline_transport::{Journaled, Limiter, Retry, RetrySettings, Signer};

use crate::scripted::{URL, create, request};

pub(crate) type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, entry: impl Into<String>) {
    log.lock().unwrap().push(entry.into());
}

fn entries(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

/// Ends attempts as told; once the list is empty it hangs as if a byte had left.
#[derive(Debug, Default)]
pub(crate) struct Below {
    pub(crate) outcomes: Mutex<VecDeque<Outcome>>,
    seen: Mutex<Vec<(u32, Instant)>>,
    /// What the attempts said of the time.
    readings: Mutex<Vec<Instant>>,
    pub(crate) log: Log,
}

impl Below {
    pub(crate) fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Arc<Self> {
        Arc::new(Self { outcomes: Mutex::new(outcomes.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

impl HttpService for Below {
    fn send(&self, mut attempt: Attempt) -> BoxFuture<'_, Outcome> {
        self.seen.lock().unwrap().push((attempt.number(), VirtualClock::new().now()));
        self.readings.lock().unwrap().push(attempt.at(&VirtualClock::new()));
        note(&self.log, format!("send {}", attempt.number()));
        let evidence: Evidence = attempt.evidence().clone();
        let next = self.outcomes.lock().unwrap().pop_front();
        Box::pin(async move {
            let Some(outcome) = next else {
                evidence.live();
                return std::future::pending().await;
            };
            evidence.settle(outcome.class);
            outcome
        })
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        note(&self.log, "warm");
        Box::pin(async {})
    }
}

pub(crate) fn reply(class: Class, status: u16) -> Outcome {
    let mut response = Response::new(Bytes::from_static(b"body"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Outcome::new(class, Ok(Reply::new(response)))
}

pub(crate) fn failure(class: Class, kind: FailureKind) -> Outcome {
    Outcome::new(class, Err(AttemptError::new(kind, "scripted")))
}

/// Draws the longest pause there is.
#[derive(Debug)]
pub(crate) struct Longest;

impl Entropy for Longest {
    fn next(&self) -> u64 {
        u64::MAX
    }
}

pub(crate) fn clock() -> Arc<VirtualClock> {
    Arc::new(VirtualClock::new())
}

fn retry(below: &Arc<Below>) -> Retry {
    let observer = Arc::new(Unobserved::default());
    Retry::new(below.clone(), RetrySettings::default(), clock(), Arc::new(Longest), observer)
}

pub(crate) fn keyed(idempotency: Idempotency) -> Attempt {
    let plain = create();
    let intent = plain.intent().unwrap().clone();
    Attempt::create(request(URL), intent, idempotency, plain.deadline())
}

#[tokio::test(start_paused = true)]
async fn a_create_without_a_verdict_is_not_repeated() {
    let below = Below::new([failure(Class::Ambiguous, FailureKind::Timeout), reply(Class::Accepted, 201)]);
    let outcome = retry(&below).send(create()).await;
    assert_eq!((outcome.class, outcome.tries, below.times().len()), (Class::Ambiguous, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn under_an_honoured_key_it_is_and_the_fold_is_reported() {
    let key = Idempotency::Key { window: Duration::from_secs(3600) };
    let below = Below::new([failure(Class::Ambiguous, FailureKind::Timeout), reply(Class::Accepted, 201)]);
    let outcome = retry(&below).send(keyed(key)).await;
    assert_eq!((outcome.class, outcome.tries), (Class::Accepted, 2));

    let below = Below::new([
        failure(Class::Ambiguous, FailureKind::Timeout),
        reply(Class::Rejected(Scope::Call), 400),
    ]);
    let outcome = retry(&below).send(keyed(key)).await;
    assert_eq!((outcome.class, outcome.tries, below.times().len()), (Class::Ambiguous, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn pauses_follow_the_preset_and_a_wait_that_was_asked_for_is_kept() {
    let refused = || failure(Class::Unsent, FailureKind::Connect);
    let below = Below::new([refused(), refused(), refused(), reply(Class::Accepted, 201)]);
    let outcome = retry(&below).send(create()).await;
    assert_eq!((outcome.class, outcome.tries), (Class::Unsent, 3));
    let times = below.times();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(
        (1999..=2001).contains(&gaps[0]) && (3999..=4001).contains(&gaps[1]) && gaps.len() == 2,
        "{gaps:?}"
    );

    let asked = reply(Class::Deferred, 429).after(Some(Duration::from_secs(7)));
    let below = Below::new([asked, reply(Class::Accepted, 201)]);
    assert_eq!(retry(&below).send(create()).await.class, Class::Accepted);
    let times = below.times();
    assert_eq!((times[1] - times[0]).as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn no_repeat_starts_after_the_deadline() {
    let asked = reply(Class::Deferred, 429).after(Some(Duration::from_secs(30)));
    let below = Below::new([asked, reply(Class::Accepted, 201)]);
    let outcome = retry(&below).send(create()).await;
    assert_eq!((outcome.class, below.times().len()), (Class::Deferred, 1));
    assert_eq!(outcome.wait, Some(Duration::from_secs(30)));
}

#[tokio::test(start_paused = true)]
async fn dead_connections_and_late_permits_cost_no_try_twice_in_a_row() {
    for kind in [FailureKind::StaleConnection, FailureKind::LatePermit] {
        let failed = || failure(Class::Unsent, kind);
        let below = Below::new([failed(), failed(), reply(Class::Accepted, 201)]);
        let started = clock().now();
        let outcome = retry(&below).send(create()).await;
        assert_eq!((outcome.class, outcome.tries, clock().now()), (Class::Accepted, 1, started), "{kind:?}");

        let below = Below::new((0..99).map(|_| failed()));
        let outcome = retry(&below).send(create()).await;
        assert_eq!((outcome.class, outcome.tries, below.times().len()), (Class::Unsent, 3, 9), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_our_own_side_refused_for_good_is_not_repeated() {
    let denied = |kind| FailureKind::Denied(kind);
    for kind in [
        FailureKind::Request,
        FailureKind::Journal,
        FailureKind::Key(KeyErrorKind::Denied),
        denied(DeniedKind::Deadline),
        denied(DeniedKind::Never),
        denied(DeniedKind::Closed),
    ] {
        let below = Below::new([failure(Class::Unsent, kind), reply(Class::Accepted, 201)]);
        let outcome = retry(&below).send(create()).await;
        assert_eq!((outcome.class, below.times().len()), (Class::Unsent, 1), "{kind:?}");
    }
}

#[derive(Debug)]
struct Gatekeeper {
    log: Log,
    deny: Option<Denied>,
    granted: Option<Instant>,
}

#[derive(Debug)]
struct LoggedSlot(Log);

impl Slot for LoggedSlot {
    fn spent(self: Box<Self>) {
        note(&self.0, "spent");
    }
    fn given_back(self: Box<Self>) {
        note(&self.0, "given back");
    }
}

impl Pacer for Gatekeeper {
    fn acquire(&self, ask: Ask) -> BoxFuture<'_, Result<Permit, Denied>> {
        note(&self.log, format!("ask {:?}", ask.lane));
        let slot = Box::new(LoggedSlot(self.log.clone()));
        let start_by = VirtualClock::new().now() + Duration::from_millis(50);
        let permit = Permit::new(start_by, Some(slot));
        let permit = match self.granted {
            Some(at) => permit.granted_at(at),
            None => permit,
        };
        let answer = self.deny.map_or(Ok(permit), Err);
        Box::pin(async { answer })
    }

    fn feedback(&self, signal: Signal) {
        note(&self.log, format!("{signal:?}"));
    }
}

fn limiter(below: &Arc<Below>, deny: Option<Denied>) -> Limiter {
    let pacer = Gatekeeper { log: below.log.clone(), deny, granted: None };
    limited(below, pacer)
}

fn limited(below: &Arc<Below>, pacer: Gatekeeper) -> Limiter {
    Limiter::new(below.clone(), Arc::new(pacer), clock(), Arc::new(Unobserved::default()))
}

#[tokio::test(start_paused = true)]
async fn a_create_is_warmed_then_permitted_then_sent() {
    for (outcome, end) in [
        (reply(Class::Accepted, 201), "spent"),
        (failure(Class::Ambiguous, FailureKind::Timeout), "spent"),
        (failure(Class::Unsent, FailureKind::Connect), "given back"),
    ] {
        let below = Below::new([outcome]);
        limiter(&below, None).send(create().in_lane(Lane::Bulk)).await;
        assert_eq!(entries(&below.log), ["warm", "ask Bulk", "send 1", end]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_fed_back_and_reads_are_not_paced() {
    let below = Below::new([
        reply(Class::Deferred, 429).after(Some(Duration::from_secs(3))),
        reply(Class::Accepted, 200),
    ]);
    let limiter = limiter(&below, None);
    limiter.send(create()).await;
    // Whoever the end of the permit lets go must find the pause.
    assert_eq!(entries(&below.log)[3..], ["Throttled { pause: 3s }", "spent"]);
    limiter.send(Attempt::read(request(URL), create().deadline())).await;
    assert_eq!(entries(&below.log), ["send 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_believed_up_to_a_bound() {
    let day = || reply(Class::Deferred, 429).after(Some(Duration::from_secs(86_400)));
    let below = Below::new([day(), day()]);
    let usual = limiter(&below, None);
    usual.send(create()).await;
    assert_eq!(entries(&below.log)[3], "Throttled { pause: 300s }");
    usual.with_max_pause(Duration::from_secs(9)).send(create()).await;
    assert_eq!(entries(&below.log)[3], "Throttled { pause: 9s }");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_unsent_with_its_wait() {
    let denied = Denied { kind: DeniedKind::Full, wait: Some(Duration::from_secs(5)) };
    let below = Below::new([]);
    let outcome = limiter(&below, Some(denied)).send(create()).await;
    assert_eq!((outcome.class, outcome.wait), (Class::Unsent, denied.wait));
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::Denied(DeniedKind::Full));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_attempt_spends_its_permit_only_if_a_byte_may_have_left() {
    let below = Below::new([]);
    let limiter = limiter(&below, None);
    let mut future = limiter.send(create());
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    assert_eq!(entries(&below.log).last().unwrap(), "spent");
}

#[tokio::test(start_paused = true)]
async fn a_bulk_deadline_runs_from_the_first_permit() {
    let now = clock().now();
    let intent = create().intent().unwrap().clone();
    let deadline =
        Deadline::AfterPermit { wait_until: now + Duration::from_secs(600), then: Duration::from_secs(9) };
    let attempt = Attempt::create(request(URL), intent, Idempotency::No, deadline);
    let evidence = attempt.evidence().clone();
    let below = Below::new([reply(Class::Accepted, 201)]);
    limiter(&below, None).send(attempt).await;
    assert_eq!(evidence.permitted(), Some(now));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_permitted_when_its_pacer_says() {
    let granted = clock().now() - Duration::from_millis(3);
    let below = Below::new([reply(Class::Accepted, 201)]);
    let pacer = Gatekeeper { log: below.log.clone(), deny: None, granted: Some(granted) };
    let attempt = create();
    let evidence = attempt.evidence().clone();
    limited(&below, pacer).send(attempt).await;
    assert_eq!((evidence.permitted(), &**below.readings.lock().unwrap()), (Some(granted), &[granted][..]));
}

#[derive(Debug, Default)]
struct Pen {
    fails: Option<KeyErrorKind>,
    learns: Mutex<u32>,
}

impl Sign for Pen {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        _: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        let failed = self.fails.map(|kind| KeyError::new(kind, "scripted"));
        request.headers_mut().insert("authorization", "signed".parse().unwrap());
        Box::pin(async { failed.map_or(Ok(()), Err) })
    }

    fn learn(&self, _: u64, status: StatusCode, _: &HeaderMap) -> bool {
        let mut learned = self.learns.lock().unwrap();
        *learned += u32::from(status == StatusCode::UNAUTHORIZED);
        status == StatusCode::UNAUTHORIZED && *learned == 1
    }
}

#[tokio::test(start_paused = true)]
async fn a_401_is_deferred_once_per_key() {
    let refused = || reply(Class::Rejected(Scope::Account), 401);
    let below = Below::new([refused(), refused()]);
    let signer = Signer::new(below, Arc::new(Pen::default()), Arc::new(VirtualClock::new()));
    let attempt = create();
    let evidence = attempt.evidence().clone();
    let first = signer.send(attempt).await;
    assert_eq!(
        (first.class, first.wait, evidence.class()),
        (Class::Deferred, Some(Duration::ZERO), Class::Deferred)
    );
    assert_eq!(signer.send(create()).await.class, Class::Rejected(Scope::Account));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nothing_is_sent() {
    let below = Below::new([]);
    let pen = Pen { fails: Some(KeyErrorKind::Unavailable), ..Pen::default() };
    let outcome =
        Signer::new(below.clone(), Arc::new(pen), Arc::new(VirtualClock::new())).send(create()).await;
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::Key(KeyErrorKind::Unavailable));
    assert!(entries(&below.log).is_empty());
}

/// A signer that answers nobody.
#[derive(Debug)]
struct Mute {}

impl Sign for Mute {
    fn sign<'a>(&'a self, _: &'a mut Request<Bytes>, _: Instant) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_ignores_its_deadline_ends_with_the_attempts_own_and_nothing_is_sent() {
    let (below, clock) = (Below::new([]), VirtualClock::new());
    let attempt = create();
    let ends_by = attempt.deadline().ends_by();
    let signer = Signer::new(below.clone(), Arc::new(Mute {}), Arc::new(clock));
    let outcome = clock.bounded(ends_by + Duration::from_secs(1), signer.send(attempt)).await.unwrap();
    assert_eq!(outcome.class, Class::Unsent);
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::Key(KeyErrorKind::Timeout));
    assert!(clock.now() >= ends_by && clock.now() <= ends_by + Duration::from_millis(1));
    assert!(entries(&below.log).is_empty());
}

/// A signer that keeps the readings of the clock that it is given, and the layer below it, which keeps the attempt's.
#[derive(Debug, Default)]
struct Timed {
    readings: Mutex<Vec<Instant>>,
    /// How long its key takes; zero is in hand.
    slow: Duration,
}

impl Sign for Timed {
    fn sign<'a>(&'a self, _: &'a mut Request<Bytes>, _: Instant) -> BoxFuture<'a, Result<(), KeyError>> {
        let clock = VirtualClock::new();
        Box::pin(async move {
            clock.sleep_until(clock.now() + self.slow).await;
            Ok(())
        })
    }

    fn sign_at_once(&self, _: &mut Request<Bytes>, now: Instant) -> Option<Result<u64, KeyError>> {
        self.readings.lock().unwrap().push(now);
        self.slow.is_zero().then_some(Ok(0))
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.readings.lock().unwrap().push(now);
        true
    }
}

impl HttpService for Timed {
    fn send(&self, mut attempt: Attempt) -> BoxFuture<'_, Outcome> {
        self.readings.lock().unwrap().push(attempt.at(&VirtualClock::new()));
        Box::pin(async { reply(Class::Accepted, 201) })
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn a_signer_goes_by_the_attempts_reading_and_warms_by_one_of_its_own() {
    let (clock, timed) = (VirtualClock::new(), Arc::new(Timed::default()));
    let signer = Signer::new(timed.clone(), timed.clone(), Arc::new(clock));
    let mut attempt = create();
    let before = attempt.at(&clock);
    clock.sleep_until(before + Duration::from_secs(60)).await;
    let after = clock.now();
    signer.warm(&attempt).await;
    let permitted = after - Duration::from_secs(1);
    attempt.permit(permitted, after);
    signer.send(attempt).await;
    assert_eq!(*timed.readings.lock().unwrap(), [after, permitted, permitted]);
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_for_the_key_the_attempts_reading_is_a_new_one() {
    let (clock, slow) = (VirtualClock::new(), Duration::from_secs(2));
    let timed = Arc::new(Timed { slow, ..Timed::default() });
    let began = clock.now();
    Signer::new(timed.clone(), timed.clone(), Arc::new(clock)).send(create()).await;
    assert_eq!(*timed.readings.lock().unwrap(), [began, began + slow]);
}

#[derive(Debug)]
struct Notebook {
    log: Log,
    begun: Mutex<Vec<Arc<Intent>>>,
    begin: Result<(), JournalErrorKind>,
    end: Result<(), JournalErrorKind>,
    slow: Duration,
}

impl AttemptJournal for Notebook {
    fn claim<'a>(&'a self, _: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async { Ok(Claim::Go { number: 1 }) })
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        self.begun.lock().unwrap().push(intent.clone());
        Box::pin(async move {
            let clock = VirtualClock::new();
            clock.sleep_until(clock.now() + self.slow).await;
            note(&self.log, format!("begin {number}"));
            self.begin.map_err(|kind| JournalError::new(kind, "scripted"))
        })
    }

    fn end(
        &self,
        _: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        note(&self.log, format!("end {number} {class} {}", reply.is_some()));
        self.end.map_err(|kind| JournalError::new(kind, "scripted"))
    }

    fn settle(&self, _: &IdempotencyKey, _: Class, _: Option<Bytes>) -> Result<(), JournalError> {
        Ok(())
    }

    fn open_calls<'a>(
        &'a self,
        _: std::time::SystemTime,
        _: Option<&'a IdempotencyKey>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn notebook(log: &Log) -> Notebook {
    let begun = Mutex::default();
    Notebook { log: log.clone(), begun, begin: Ok(()), end: Ok(()), slow: Duration::ZERO }
}

fn journaled(below: &Arc<Below>, begin: Result<(), JournalErrorKind>, slow: Duration) -> Journaled {
    let journal = Arc::new(Notebook { begin, slow, ..notebook(&below.log) });
    Journaled::new(below.clone(), journal, clock(), Arc::new(Unobserved::default()))
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_noted_before_and_after() {
    let below = Below::new([reply(Class::Accepted, 201), failure(Class::Ambiguous, FailureKind::Timeout)]);
    let layer = journaled(&below, Ok(()), Duration::ZERO);
    layer.send(create()).await;
    assert_eq!(entries(&below.log), ["begin 1", "send 1", "end 1 accepted true"]);
    layer.send(create()).await;
    assert_eq!(entries(&below.log), ["begin 1", "send 1", "end 1 ambiguous false"]);
}

#[tokio::test(start_paused = true)]
async fn below_a_journal_that_made_it_wait_an_attempts_reading_is_a_new_one() {
    for slow in [Duration::ZERO, Duration::from_secs(2)] {
        let below = Below::new([reply(Class::Accepted, 201)]);
        journaled(&below, Ok(()), slow).send(create()).await;
        assert_eq!(*below.readings.lock().unwrap(), below.times());
    }
}

#[tokio::test(start_paused = true)]
async fn in_bulk_an_attempt_has_a_fence_of_its_own_and_a_single_call_keeps_its_claims() {
    let (clock, observer, second) = (clock(), Arc::new(Unobserved::default()), Duration::from_secs(1));
    for in_bulk in [true, false] {
        let below = Below::new([failure(Class::Unsent, FailureKind::Connect), reply(Class::Accepted, 201)]);
        let journal = Arc::new(notebook(&below.log));
        let noted = Journaled::new(below.clone(), journal.clone(), clock.clone(), observer.clone());
        let pacer = Gatekeeper { log: below.log.clone(), deny: None, granted: None };
        let paced = Limiter::new(Arc::new(noted), Arc::new(pacer), clock.clone(), observer.clone());
        let settings = RetrySettings::default();
        let stack = Retry::new(Arc::new(paced), settings, clock.clone(), Arc::new(Longest), observer.clone());

        let (now, wall) = (clock.now(), clock.wall());
        let deadline = match in_bulk {
            true => Deadline::AfterPermit { wait_until: now + 600 * second, then: 9 * second },
            false => Deadline::At(now + 609 * second),
        };
        let plain = create().intent().unwrap().clone();
        let claimed = Arc::new(Intent { fence: wall + 609 * second, ..Intent::clone(&plain) });
        let attempt = Attempt::create(request(URL), claimed.clone(), Idempotency::No, deadline);
        clock.sleep_until(now + 100 * second).await;
        assert_eq!(stack.send(attempt).await.tries, 2);
        for begun in journal.begun.lock().unwrap().iter() {
            match in_bulk {
                true => assert_eq!(begun.fence, wall + 109 * second, "from the first permit on"),
                false => assert!(Arc::ptr_eq(begun, &claimed)),
            }
        }
        assert_eq!(journal.begun.lock().unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_accepted_end_that_the_journal_took_leaves_nothing_to_settle() {
    for (class, end, answered) in [
        (Class::Accepted, Ok(()), true),
        (Class::Accepted, Err(JournalErrorKind::Store), false),
        (Class::Rejected(Scope::Call), Ok(()), false),
        (Class::Deferred, Ok(()), false),
    ] {
        let below = Below::new([reply(class, 201)]);
        let journal = Notebook { end, ..notebook(&below.log) };
        let layer = Journaled::new(below, Arc::new(journal), clock(), Arc::new(Unobserved::default()));
        let attempt = create();
        let evidence = attempt.evidence().clone();
        layer.send(attempt).await;
        assert_eq!(evidence.is_answered(), answered, "{class} {end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_is_not_sent() {
    let below = Below::new([]);
    let outcome = journaled(&below, Err(JournalErrorKind::Store), Duration::ZERO).send(create()).await;
    assert_eq!((outcome.class, outcome.result.unwrap_err().kind()), (Class::Unsent, FailureKind::Journal));
    assert_eq!(entries(&below.log), ["begin 1", "end 1 unsent false"]);
    let outcome = journaled(&below, Ok(()), Duration::from_secs(60)).send(create()).await;
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::Journal);
    assert_eq!(entries(&below.log), ["end 1 unsent false"]);
}

/// A key that was freed under its claimer between two attempts and claimed anew: both go on with one number.
#[tokio::test(start_paused = true)]
async fn whoever_may_not_begin_ends_nobody_elses_attempt() {
    let (below, journal) = (Below::new([]), Arc::new(MemoryJournal::new(clock())));
    let layer = Journaled::new(below.clone(), journal.clone(), clock(), Arc::new(Unobserved::default()));
    let plain = create();
    let fence = clock().wall() + Duration::from_secs(30);
    let intent = Arc::new(Intent { fence, ..Intent::clone(plain.intent().unwrap()) });
    let attempt =
        || Attempt::create(request(URL), intent.clone(), Idempotency::No, plain.deadline()).numbered(2);
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 });
    journal.settle(&intent.key, Class::Unsent, None).unwrap();
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 2 });

    let mut flying = layer.send(attempt());
    assert!(flying.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let refused = layer.send(attempt()).await;
    assert_eq!((refused.class, refused.result.unwrap_err().kind()), (Class::Unsent, FailureKind::Journal));
    assert_eq!(entries(&below.log), ["send 2"]);
    let freed = journal.settle(&intent.key, Class::Unsent, None);
    assert_eq!(freed.unwrap_err().kind(), JournalErrorKind::State, "it is still in flight");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_attempt_is_noted_too() {
    let below = Below::new([]);
    let layer = journaled(&below, Ok(()), Duration::ZERO);
    {
        let mut future = layer.send(create());
        let clock = clock();
        let mut first = clock.sleep_until(clock.now() + Duration::from_millis(5));
        std::future::poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending());
            first.as_mut().poll(cx)
        })
        .await;
    }
    assert_eq!(entries(&below.log), ["begin 1", "send 1", "end 1 ambiguous false"]);
}

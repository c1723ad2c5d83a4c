//! The table of evidence: what happened on the wire, and the class it must have.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, Deadline, FailureKind, HttpService, Origin, Outcome,
    Progress, Scope, StatusOnly, VirtualClock,
};
use trunkline_transport::{Dial, HttpClient, TransportSettings, Wire};

use crate::scripted::{
    CREATED, Script, ScriptedDial, Then, URL, client, client_with, create, create_within, exhausted, request,
};

fn kind(outcome: &Outcome) -> Option<FailureKind> {
    outcome.result.as_ref().err().map(|error| error.kind())
}

async fn one(script: Script) -> Outcome {
    client(ScriptedDial::new([script])).send(create()).await
}

#[tokio::test(start_paused = true)]
async fn refused_connection_is_unsent() {
    for failure in [FailureKind::Connect, FailureKind::Resolve] {
        let outcome = client(ScriptedDial::failing(failure)).send(create()).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(failure)));
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_connect_is_unsent_after_the_connect_time() {
    let clock = VirtualClock::new();
    let started = clock.now();
    let outcome = client(ScriptedDial::hanging()).send(create()).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)));
    assert_eq!((clock.now() - started).as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn blocked_write_and_timeout_is_unsent_and_nothing_leaves_later() {
    let dial = ScriptedDial::new([Script::takes(0, Then::Hang)]);
    let outcome = client(dial.clone()).send(create_within(Duration::from_secs(2))).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)));
    let state = dial.connection(0);
    state.lock().unwrap().revive(Script::replies(CREATED));
    tokio::task::yield_now().await;
    let state = state.lock().unwrap();
    assert!(state.aborted && state.dropped && state.received.is_empty());
}

#[tokio::test(start_paused = true)]
async fn partial_write_and_timeout_is_ambiguous_and_nothing_more_leaves() {
    for taken in [1, 40, 100] {
        let dial = ScriptedDial::new([Script::takes(taken, Then::Hang)]);
        let outcome = client(dial.clone()).send(create_within(Duration::from_secs(2))).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Timeout)));
        let state = dial.connection(0);
        state.lock().unwrap().revive(Script::replies(CREATED));
        tokio::task::yield_now().await;
        assert_eq!(state.lock().unwrap().received.len(), taken);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_request_is_ambiguous_after_the_read_time() {
    let clock = VirtualClock::new();
    let started = clock.now();
    let outcome = one(Script::replies("")).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Timeout)));
    assert_eq!((clock.now() - started).as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn heads_decide_the_class() {
    let reply =
        |status: &str| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n");
    for (status, want) in [
        ("200", Class::Accepted),
        ("204", Class::Accepted),
        ("302", Class::Ambiguous),
        ("400", Class::Rejected(Scope::Call)),
        ("401", Class::Rejected(Scope::Account)),
        ("408", Class::Ambiguous),
        ("429", Class::Rejected(Scope::Call)),
        ("500", Class::Ambiguous),
        ("529", Class::Ambiguous),
    ] {
        let dial = ScriptedDial::new([Script::replies(&reply(status))]);
        let outcome = client(dial.clone()).send(create()).await;
        assert_eq!((outcome.class, dial.count()), (want, 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_above_the_bound_keeps_the_class_of_its_head() {
    let settings = || {
        let mut settings = TransportSettings::default();
        settings.max_reply = 3;
        settings
    };
    let dial = ScriptedDial::new([Script::replies(CREATED)]);
    let outcome = client_with(dial, settings()).send(create()).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Accepted, Some(FailureKind::ReplyTooLarge)));
    let chunked = "HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    let outcome = client_with(ScriptedDial::new([Script::replies(chunked)]), settings()).send(create()).await;
    assert_eq!(
        (outcome.class, kind(&outcome)),
        (Class::Rejected(Scope::Call), Some(FailureKind::ReplyTooLarge))
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_permit_costs_no_connection() {
    let clock = VirtualClock::new();
    let dial = ScriptedDial::new([Script::replies(CREATED)]);
    let client = client(dial.clone());
    let mut late = create();
    late.permit(clock.now(), clock.now());
    client.warm(&late).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    let outcome = client.send(late).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::LatePermit)));
    assert_eq!(client.send(create()).await.class, Class::Accepted);
    assert_eq!(dial.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_serves_again() {
    let dial = ScriptedDial::new([Script::replies(CREATED)]);
    let client = client(dial.clone());
    for _ in 0..5 {
        let outcome = client.send(create()).await;
        assert_eq!(outcome.result.unwrap().body(), "nice");
    }
    assert_eq!(dial.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_or_too_old_while_idle_is_not_used() {
    for end in [Then::Close, Then::Reset] {
        let dial = ScriptedDial::new([Script::replies(CREATED), Script::replies(CREATED)]);
        let client = client(dial.clone());
        client.send(create()).await;
        dial.connection(0).lock().unwrap().revive(Script { idle_then: end, ..Script::replies("") });
        assert_eq!(client.send(create()).await.class, Class::Accepted);
        assert_eq!(dial.count(), 2);
    }
    let dial = ScriptedDial::new([Script::replies(CREATED), Script::replies(CREATED)]);
    let client = client(dial.clone());
    client.send(create()).await;
    tokio::time::advance(Duration::from_secs(15)).await;
    client.send(create()).await;
    assert_eq!(dial.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_is_unsent_before_the_first_byte_and_ambiguous_after() {
    for (taken, want) in [(0, Class::Unsent), (1, Class::Ambiguous), (usize::MAX, Class::Ambiguous)] {
        let dial = ScriptedDial::new([Script::takes(taken, Then::Hang)]);
        let client = client(dial.clone());
        let attempt = create();
        let evidence = attempt.evidence().clone();
        let mut future = client.send(attempt);
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(evidence.class(), Class::Ambiguous, "live reads as ambiguous");
        drop(future);
        assert_eq!(evidence.class(), want);
        assert!(dial.connection(0).lock().unwrap().aborted);
    }
}

/// Panics at its first write, or at its first read before that.
#[derive(Debug, Clone, Copy)]
struct Panicking {
    in_write: bool,
}

impl Dial for Panicking {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        let wire = *self;
        Box::pin(async move { Ok(Box::new(wire) as Box<dyn Wire>) })
    }
}

impl Wire for Panicking {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(self.in_write, "scripted");
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.in_write, "scripted");
        Poll::Pending
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn what_a_wire_took_that_panicked_is_not_known() {
    for (in_write, want) in
        [(true, (Class::Ambiguous, Progress::Part)), (false, (Class::Unsent, Progress::Connected))]
    {
        let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
        let (origin, dial) = (URL.parse().unwrap(), Arc::new(Panicking { in_write }));
        let client = HttpClient::with_dial(origin, TransportSettings::default(), judge, clock, dial).unwrap();
        let attempt = create();
        let evidence = attempt.evidence().clone();
        let mut future = client.send(attempt);
        let poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
        drop(future);
        assert_eq!((evidence.class(), evidence.progress()), want, "{in_write}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_after_a_2xx_head_is_accepted() {
    let client =
        client(ScriptedDial::new([Script::replies("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nnice")]));
    let attempt = create();
    let evidence = attempt.evidence().clone();
    let mut future = client.send(attempt);
    let clock = VirtualClock::new();
    let mut wait = clock.sleep_until(clock.now() + Duration::from_secs(1));
    std::future::poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        wait.as_mut().poll(cx)
    })
    .await;
    drop(future);
    assert_eq!(evidence.class(), Class::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_ends_its_connection_is_seen_by_a_task_without_a_budget() {
    for (length, read_then) in [("content-length: 4\r\nconnection: close", Then::Hang), ("x: y", Then::Close)]
    {
        let dial = ScriptedDial::new([Script::replies("")]);
        let client = client(dial.clone());
        let mut future = client.send(create());
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let reply = format!("HTTP/1.1 201 Created\r\n{length}\r\n\r\nnice");
        dial.connection(0).lock().unwrap().revive(Script { read_then, ..Script::replies(&reply) });
        let outcome = exhausted(future).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Accepted, None), "{length}");
        assert_eq!(outcome.result.unwrap().body(), "nice");
    }
}

#[tokio::test(start_paused = true)]
async fn another_origin_is_refused_before_a_connection() {
    let dial = ScriptedDial::new([]);
    let client = client(dial.clone());
    let deadline = Deadline::At(VirtualClock::new().now() + Duration::from_secs(9));
    let read = |url: &str| Attempt::read(request(url), deadline);
    for url in ["http://127.0.0.1:8/v1/calls", "https://127.0.0.1:7/", "http://evil.example/", "/v1/calls"] {
        let outcome = client.send(read(url)).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Request)), "{url}");
    }
    assert_eq!(dial.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_leaves_in_origin_form_with_its_host() {
    let dial = ScriptedDial::new([Script::replies(CREATED)]);
    client(dial.clone()).send(create()).await;
    let sent = String::from_utf8(dial.connection(0).lock().unwrap().received.clone()).unwrap();
    assert!(sent.starts_with("POST /v1/calls HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("\r\nhost: 127.0.0.1:7\r\n"), "{sent}");
}

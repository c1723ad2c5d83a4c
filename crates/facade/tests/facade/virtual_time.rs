//! Single calls in virtual time: keys, classes, deadlines, the caller's check, draining.

use std::future::Future;
use std::num::NonZeroU32;
use std::task::{Context, Waker};
use std::time::Duration;

use trunkline::{
    BoxFuture, Class, Clock, DialCheck, ErrorKind, Idempotency, NewCall, Order, RetrySettings, Scope,
};
use trunkline_core_types::VirtualClock;

use crate::peer::{Does, Peer, account, builder, client, per_second};

fn call() -> NewCall {
    NewCall::say("+14155550123", "hello").unwrap()
}

fn keyed(key: &str) -> Order {
    Order::new(call()).key(key).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_placed_call_comes_back_typed() {
    let peer = Peer::new([]);
    let placed = client(&peer).place(call()).await.unwrap();
    assert_eq!(placed.call.unwrap().cost.unwrap().to_string(), "0.015 USD");
    assert_eq!(placed.reference.unwrap().to_string(), "main/call_1");
    assert_eq!((placed.tries, placed.replayed), (1, false));
}

#[tokio::test(start_paused = true)]
async fn the_same_key_rings_once_and_gives_the_old_answer() {
    let peer = Peer::new([]);
    let client = client(&peer);
    let first = client.place(keyed("k")).await.unwrap();
    let again = client.place(keyed("k")).await.unwrap();
    assert_eq!((again.reference, again.replayed, peer.count()), (first.reference, true, 1));
    let other = Order::new(NewCall::say("+14155550123", "other").unwrap()).key("k").unwrap();
    let error = client.place(other).await.unwrap_err();
    assert_eq!((error.kind(), peer.count()), (ErrorKind::Input, 1));
    assert!(error.to_string().contains("idempotency_key"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_may_have_retry_settings_of_its_own() {
    let peer = Peer::new((0..2).map(|_| Does::Closes));
    let client = client(&peer);
    let once = keyed("once").retry(RetrySettings::never()).unwrap();
    assert_eq!(client.place(once).await.unwrap_err().tries(), 1);
    assert_eq!(client.place(keyed("usual")).await.unwrap().tries, 2);
    let mut wrong = RetrySettings::default();
    wrong.max_tries = 0;
    assert_eq!(keyed("wrong").retry(wrong).unwrap_err().field(), "max_tries");
}

#[tokio::test(start_paused = true)]
async fn two_callers_of_one_key_share_one_flight() {
    let peer = Peer::new([Does::AnswersLate(Duration::from_secs(1))]);
    let client = client(&peer);
    let (one, two) = tokio::join!(client.place(keyed("k")), client.place(keyed("k")));
    assert_eq!((one.unwrap().reference, peer.count()), (two.unwrap().reference, 1));
    // The first caller may leave: the second drives on.
    let peer = Peer::new([Does::AnswersLate(Duration::from_secs(1))]);
    let client = crate::peer::client(&peer);
    let mut first = Box::pin(client.place(keyed("k")));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let second = client.place(keyed("k"));
    drop(first);
    assert!(second.await.is_err() || peer.count() == 1);
    assert_eq!(peer.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_under_the_key_the_provider_honours() {
    let peer = Peer::new([Does::Closes, Does::Answers(201, "")]);
    let placed = client(&peer).place(call()).await.unwrap();
    assert_eq!((placed.tries, peer.count()), (2, 2));
    let bodies: Vec<_> = peer.requests.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(bodies[0], bodies[1], "every attempt sends the same bytes");
}

#[tokio::test(start_paused = true)]
async fn three_lost_answers_stay_ambiguous_and_the_key_dials_nobody_again() {
    let peer = Peer::new([Does::Closes, Does::Closes, Does::Closes]);
    let client = client(&peer);
    let error = client.place(keyed("k")).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.tries()), (ErrorKind::Ambiguous, Class::Ambiguous, 3));
    let again = client.place(keyed("k")).await.unwrap_err();
    assert_eq!((again.kind(), peer.count()), (ErrorKind::Ambiguous, 3));
    let drained = client.shutdown(Duration::from_secs(1)).await;
    assert_eq!((drained.under_way, drained.open), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_repeat_proves_nothing_about_the_first_attempt() {
    let refusal = r#"{"type":"error","error":{"type":"invalid_request","message":"no"}}"#;
    let peer = Peer::new([Does::Closes, Does::Answers(400, refusal)]);
    let error = client(&peer).place(call()).await.unwrap_err();
    assert_eq!((error.kind(), peer.count()), (ErrorKind::Ambiguous, 2));
}

#[tokio::test(start_paused = true)]
async fn rejections_say_whose_fault_and_settle_or_free_the_key() {
    let about_the_call = r#"{"type":"error","error":{"type":"invalid_request","message":"to: +14155550123 is barred","param":"to"}}"#;
    let peer = Peer::new([Does::Answers(400, about_the_call)]);
    let one = client(&peer);
    let error = one.place(keyed("k")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Rejected, Class::Rejected(Scope::Call)));
    assert_eq!(error.provider_error().unwrap().field(), Some("to"));
    assert!(!format!("{error} {error:?}").contains("14155550123"), "{error} {error:?}");
    assert_eq!(one.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(peer.count(), 1, "settled for ever");

    let no_funds = r#"{"type":"error","error":{"type":"billing","message":"no funds"}}"#;
    let peer = Peer::new([Does::Answers(402, no_funds)]);
    let one = client(&peer);
    assert_eq!(one.place(keyed("k")).await.unwrap_err().class(), Class::Rejected(Scope::Account));
    assert!(one.place(keyed("k")).await.is_ok(), "the key is free again");
}

#[tokio::test(start_paused = true)]
async fn a_throttle_waits_as_told_and_pauses_everybody() {
    let throttle = r#"{"type":"error","error":{"type":"rate_limit","message":"slow"}}"#;
    let peer = Peer::new([Does::Answers(429, throttle)]);
    let client = client(&peer);
    let clock = VirtualClock::new();
    let started = clock.now();
    assert_eq!(client.place(call()).await.unwrap().tries, 2);
    assert!(clock.now() - started >= Duration::from_secs(2), "Retry-After is 2 s");
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_unsent_and_safe_to_try_again() {
    let peer = Peer::unreachable();
    let error = client(&peer).place(call()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable(), error.tries()), (ErrorKind::Unsent, true, 3));
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_waits_and_repeats() {
    let peer = Peer::new([Does::Hangs, Does::Hangs, Does::Hangs]);
    let clock = VirtualClock::new();
    let started = clock.now();
    let order = Order::new(call()).timeout(Duration::from_secs(12));
    assert_eq!(client(&peer).place(order).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    let took = clock.now() - started;
    assert!(took <= Duration::from_millis(12_002), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_free_before_its_first_byte_and_open_after() {
    let peer = Peer::new([Does::Hangs]);
    let client = client(&peer);
    let clock = VirtualClock::new();
    {
        let mut place = Box::pin(client.place(keyed("k")));
        let mut wait = clock.sleep_until(clock.now() + Duration::from_secs(1));
        std::future::poll_fn(|cx| {
            assert!(place.as_mut().poll(cx).is_pending());
            wait.as_mut().poll(cx)
        })
        .await;
    }
    assert_eq!(peer.count(), 1);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(peer.count(), 1);

    let refusing = Peer::unreachable();
    let client = crate::peer::client(&refusing);
    let mut place = Box::pin(client.place(keyed("k")));
    assert!(place.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(place);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Unsent, "the key was free");
}

#[derive(Debug)]
struct NotAtNight;

impl DialCheck for NotAtNight {
    fn allow<'a>(&'a self, call: &'a NewCall) -> BoxFuture<'a, Result<(), String>> {
        let day = call.tags.iter().any(|(name, _)| name == "day");
        Box::pin(async move { if day { Ok(()) } else { Err("outside the calling hours".to_owned()) } })
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_s_own_check_is_asked_first() {
    let peer = Peer::new([]);
    let client = builder().account(account(&peer)).on_dial(NotAtNight).build().unwrap();
    let error = client.place(keyed("k")).await.unwrap_err();
    assert_eq!((error.kind(), peer.count()), (ErrorKind::NotAllowed, 0));
    let allowed = Order::new(call().tag("day", "").unwrap()).key("k").unwrap();
    assert!(client.place(allowed).await.is_ok(), "a refused call claims no key");
}

#[tokio::test(start_paused = true)]
async fn live_calls_are_capped() {
    let peer = Peer::new([]);
    let capped = account(&peer).live_calls(NonZeroU32::MIN, Duration::from_secs(60));
    let client = builder().account(capped).build().unwrap();
    client.place(call()).await.unwrap();
    let error = client.place(Order::new(call()).timeout(Duration::from_secs(5))).await.unwrap_err();
    assert_eq!((error.kind(), peer.count()), (ErrorKind::Unsent, 1));
    assert!(error.retry_after().is_some());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(client.place(call()).await.is_ok(), "the lease ends by itself");
}

#[tokio::test(start_paused = true)]
async fn reads_hang_ups_and_raw_requests_go_through_the_same_stack() {
    let found =
        r#"{"call_id":"call_1","status":"someday","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":1}"#;
    let unknown = r#"{"type":"error","error":{"type":"not_found","message":"no such call"}}"#;
    let peer = Peer::new([
        Does::Answers(200, found),
        Does::Answers(404, unknown),
        Does::Closes,
        Does::Answers(200, found),
        Does::Answers(200, "{}"),
    ]);
    let client = client(&peer);
    let reference = "main/call_1".parse().unwrap();
    assert_eq!(client.get(&reference).await.unwrap().status.as_str(), "someday");
    assert_eq!(client.get(&reference).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(
        client.hang_up(&reference).await.unwrap().id.as_str(),
        "call_1",
        "repeated by its own meaning"
    );
    let request = http::Request::post("/v1/numbers").body(bytes::Bytes::from_static(b"{}")).unwrap();
    let reply = client.raw_change(&"main".parse().unwrap(), request, Idempotency::No).await.unwrap();
    assert_eq!(reply.body(), "{}");
    assert_eq!(client.get(&"other/call_1".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::Input);
    let elsewhere = http::Request::get("https://evil.example/").body(bytes::Bytes::new()).unwrap();
    assert_eq!(
        client.raw_read(&"main".parse().unwrap(), elsewhere).await.unwrap_err().kind(),
        ErrorKind::Unsent
    );
    let all = peer.requests.lock().unwrap();
    assert!(all.iter().all(|(_, text)| text.to_lowercase().contains("\r\nauthorization: bearer key\r\n")));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_what_is_under_way_finish_and_takes_nothing_new() {
    let peer = Peer::new([Does::AnswersLate(Duration::from_secs(3))]);
    let slow = account(&peer).pace(per_second(1));
    let client = builder().account(slow).build().unwrap();
    let (one, two, drained) = tokio::join!(client.place(call()), client.place(call()), async {
        let clock = VirtualClock::new();
        clock.sleep_until(clock.now() + Duration::from_millis(500)).await;
        client.shutdown(Duration::from_secs(10)).await
    });
    // Which of the two comes first is not said.
    let (placed, unsent): (Vec<_>, Vec<_>) = [one, two].into_iter().partition(Result::is_ok);
    assert_eq!((placed.len(), unsent[0].as_ref().unwrap_err().kind()), (1, ErrorKind::Unsent));
    assert_eq!((drained.under_way, drained.open), (0, 0));
    assert_eq!(client.place(call()).await.unwrap_err().kind(), ErrorKind::Unsent);
    assert_eq!(peer.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_whoever_waits_for_a_live_call() {
    let peer = Peer::new([]);
    let capped = account(&peer).live_calls(NonZeroU32::MIN, Duration::from_secs(3_600));
    let client = builder().account(capped).build().unwrap();
    client.place(call()).await.unwrap();
    let clock = VirtualClock::new();
    let began = clock.now();
    let patient = || Order::new(call()).timeout(Duration::from_secs(1_800));
    let (one, two, drained) = tokio::join!(client.place(patient()), client.place(patient()), async {
        clock.sleep_until(began + Duration::from_secs(1)).await;
        client.shutdown(Duration::from_secs(600)).await
    });
    assert_eq!((drained.under_way, clock.now() - began), (0, Duration::from_secs(1)));
    for unsent in [one, two] {
        let error = unsent.unwrap_err();
        assert!(error.kind() == ErrorKind::Unsent && error.to_string().contains("shut down"), "{error}");
    }
    assert_eq!(peer.count(), 1);
}

#[test]
fn settings_that_cannot_work_are_named() {
    let peer = Peer::new([]);
    let field = |built: Result<_, trunkline::Error>| {
        let error = built.unwrap_err();
        format!("{} {error}", error.field().unwrap())
    };
    assert!(field(builder().build()).contains("account"));
    assert!(field(builder().account(account(&peer)).account(account(&peer)).build()).contains("main"));
    assert!(field(builder().account(account(&peer).pace(per_second(51))).build()).contains("pace"));
    assert!(field(builder().account(account(&peer).tolerance(Duration::ZERO)).build()).contains("tolerance"));
    assert!(
        field(builder().account(account(&peer)).bulk_concurrency(0).build()).contains("bulk_concurrency")
    );
}

#[test]
fn the_error_is_small_and_shared() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<trunkline::Error>();
    shared::<trunkline::Client>();
    assert!(size_of::<trunkline::Error>() <= 16);
}

#[test]
fn a_call_under_way_is_small() {
    let client = crate::peer::client(&Peer::new([]));
    // Many are, and each is moved as a whole when it is spawned.
    let size = size_of_val(&client.place(call()));
    assert!(size <= 1600, "{size} bytes");
}

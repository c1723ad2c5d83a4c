//! Several accounts: a call goes on only while nobody can have been rung, and whoever rang is remembered.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Call, Client, Clock, ErrorKind, IdempotencyKey, NewCall, Order, Profile, Provider,
    ProviderError, RetrySettings,
};
use trunkline_core_types::{Judge, Operation, Reply, Verdict, VirtualClock};

use crate::peer::{Does, Peer, builder, named};

fn two(first: &Arc<Peer>, second: &Arc<Peer>) -> Client {
    builder().account(named("main", first)).account(named("backup", second)).build().unwrap()
}

fn keyed(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

const NO_FUNDS: &str = r#"{"type":"error","error":{"type":"billing","message":"no funds"}}"#;
const BAD_NUMBER: &str = r#"{"type":"error","error":{"type":"invalid_request","message":"no","param":"to"}}"#;
const THROTTLE: &str = r#"{"type":"error","error":{"type":"rate_limit","message":"slow"}}"#;

#[tokio::test(start_paused = true)]
async fn no_connection_goes_on_and_whoever_rang_is_remembered() {
    let (first, second) = (Peer::unreachable(), Peer::new([]));
    let client = two(&first, &second);
    let placed = client.place(keyed("k")).await.unwrap();
    let reference = placed.reference.unwrap();
    assert_eq!((reference.account.as_str(), placed.tries), ("backup", 4));
    let again = client.place(keyed("k")).await.unwrap();
    assert_eq!((again.reference.as_ref(), again.replayed, second.count()), (Some(&reference), true, 1));
    assert!(client.get(&reference).await.is_ok());
    assert!(client.hang_up(&reference).await.is_ok());
    assert_eq!(second.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_about_the_account_goes_on_and_what_is_about_the_call_does_not() {
    let (first, second) = (Peer::new([Does::Answers(402, NO_FUNDS)]), Peer::new([]));
    let placed = two(&first, &second).place(keyed("k")).await.unwrap();
    assert_eq!(placed.reference.unwrap().account.as_str(), "backup");

    let (first, second) = (Peer::new([Does::Answers(400, BAD_NUMBER)]), Peer::new([]));
    let error = two(&first, &second).place(keyed("k")).await.unwrap_err();
    assert_eq!((error.kind(), second.count()), (ErrorKind::Rejected, 0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_is_left_after_its_tries() {
    let throttled = (0..3).map(|_| Does::Answers(429, THROTTLE));
    let (first, second) = (Peer::new(throttled), Peer::new([]));
    let placed = two(&first, &second).place(keyed("k")).await.unwrap();
    assert_eq!((placed.reference.unwrap().account.as_str(), first.count(), second.count()), ("backup", 3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_never_goes_on() {
    let lost = (0..3).map(|_| Does::Closes);
    let (first, second) = (Peer::new(lost), Peer::new([]));
    let client = two(&first, &second);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    // Also where the last word was a refusal about the account.
    let first = Peer::new([Does::Closes, Does::Answers(402, NO_FUNDS)]);
    let client = two(&first, &second);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!((first.count(), second.count()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_breaker_is_open_is_asked_last_and_comes_back() {
    let broken = (0..20).map(|_| Does::Answers(503, ""));
    let (first, second) = (Peer::new(broken), Peer::new([]));
    let client = two(&first, &second);
    for n in 0..10 {
        // Nothing tells whether a 503 rang; under the key it is asked again, and then left open.
        let order = keyed(&format!("broken-{n}")).retry(twice()).unwrap();
        assert_eq!(client.place(order).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    }
    let clock = VirtualClock::new();
    let started = clock.now();
    let placed = client.place(keyed("next")).await.unwrap();
    assert_eq!((placed.reference.unwrap().account.as_str(), placed.tries), ("backup", 1));
    assert_eq!((first.count(), clock.now()), (20, started), "at once, and the first is not asked");
    clock.sleep_until(started + Duration::from_secs(40)).await;
    for n in 0..4 {
        let placed = client.place(keyed(&format!("later-{n}"))).await.unwrap();
        assert_eq!(placed.reference.unwrap().account.as_str(), "main");
    }
}

fn twice() -> RetrySettings {
    let mut settings = RetrySettings::aws_standard_2_1();
    settings.max_tries = 2;
    settings
}

#[tokio::test(start_paused = true)]
async fn all_accounts_failing_leaves_the_key_free() {
    let (first, second) = (Peer::unreachable(), Peer::new([Does::Answers(402, NO_FUNDS)]));
    let client = two(&first, &second);
    let error = client.place(keyed("k")).await.unwrap_err();
    assert_eq!((error.kind(), error.tries()), (ErrorKind::Rejected, 4));
    assert!(client.place(keyed("k")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_account_has_its_own_caller_id() {
    let (first, second) = (Peer::new([Does::Answers(402, NO_FUNDS)]), Peer::new([]));
    let own = |id, peer, number| named(id, peer).from_number(number).unwrap();
    let client = builder()
        .account(own("main", &first, "+14155550100"))
        .account(own("backup", &second, "+442071838750"))
        .build()
        .unwrap();
    client.place(keyed("k")).await.unwrap();
    let sent = |peer: &Peer| peer.requests.lock().unwrap()[0].1.clone();
    assert!(
        sent(&first).contains(r#""from":"+14155550100""#)
            && sent(&second).contains(r#""from":"+442071838750""#)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_goes_back_and_the_next_account_s_is_taken() {
    let (first, second) = (Peer::new([Does::Answers(402, NO_FUNDS)]), Peer::new([]));
    let capped = |id, peer| named(id, peer).live_calls(NonZeroU32::MIN, Duration::from_secs(3600));
    let client =
        builder().account(capped("main", &first)).account(capped("backup", &second)).build().unwrap();
    assert_eq!(client.place(keyed("a")).await.unwrap().reference.unwrap().account.as_str(), "backup");
    assert_eq!(client.place(keyed("b")).await.unwrap().reference.unwrap().account.as_str(), "main");
    let quick = keyed("c").timeout(Duration::from_secs(5));
    assert_eq!(client.place(quick).await.unwrap_err().kind(), ErrorKind::Unsent, "both leases are out");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_the_second_account_stays_open() {
    let (first, second) = (Peer::new([Does::Answers(402, NO_FUNDS)]), Peer::new([Does::Hangs]));
    let client = two(&first, &second);
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
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_cut_off_is_asked_last() {
    let (first, second) = (Peer::unreachable(), Peer::new([]));
    let client = two(&first, &second);
    // Enough failed connections within the breaker's window: three for each call.
    for n in 0..7 {
        let placed = client.place(keyed(&format!("before-{n}"))).await.unwrap();
        assert_eq!(placed.reference.unwrap().account.as_str(), "backup");
    }
    let clock = VirtualClock::new();
    let started = clock.now();
    let placed = client.place(keyed("after")).await.unwrap();
    assert_eq!((placed.tries, placed.reference.unwrap().account.as_str()), (1, "backup"));
    assert!(
        clock.now() - started < Duration::from_secs(1),
        "no pause for an account that is known to be out"
    );
}

/// A provider that cannot say any call, and counts how often it was asked to.
#[derive(Debug)]
struct Speechless(ClaudeVoice, Arc<AtomicUsize>);

impl Judge for Speechless {
    fn judge(&self, operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        self.0.judge(operation, status, headers, body)
    }
}

impl Provider for Speechless {
    fn profile(&self) -> &Profile {
        self.0.profile()
    }

    fn origin(&self) -> &str {
        self.0.origin()
    }

    fn create(&self, _: &NewCall, _: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(ProviderError::unsupported("any call"))
    }

    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError> {
        self.0.read_call(reply)
    }

    fn read_error(&self, reply: &Reply) -> ProviderError {
        self.0.read_error(reply)
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_say_the_call_is_left_out_at_its_turn() {
    let asked = Arc::new(AtomicUsize::new(0));
    let speechless = || {
        let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
        let keys = StaticKeys::new("key".into()).unwrap();
        Account::new("speechless", Speechless(voice, asked.clone()), keys).unwrap()
    };
    let (first, second) = (Peer::new([Does::Answers(402, NO_FUNDS)]), Peer::new([]));
    let client = builder().account(named("main", &first)).account(speechless());
    let client = client.account(named("backup", &second)).build().unwrap();
    assert_eq!(client.place(keyed("a")).await.unwrap().reference.unwrap().account.as_str(), "backup");
    assert_eq!(client.place(keyed("b")).await.unwrap().reference.unwrap().account.as_str(), "main");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "only at its turn");

    let client = builder().account(speechless()).account(named("backup", &second)).build().unwrap();
    assert_eq!(client.place(keyed("c")).await.unwrap().reference.unwrap().account.as_str(), "backup");
    let client = builder().account(speechless()).build().unwrap();
    assert_eq!(client.place(keyed("d")).await.unwrap_err().kind(), ErrorKind::Input);
    assert_eq!((asked.load(Ordering::Relaxed), first.count(), second.count()), (3, 2, 2));
}

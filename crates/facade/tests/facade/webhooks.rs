//! Callbacks in virtual time: what they prove, what they end, what changes nothing, and who is refused.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request};
use trunkline::keys::StaticKeys;
use trunkline::{
    Account, AccountId, BoxFuture, CallStatus, Client, Clock, ErrorKind, Fact, Journal, KeyError,
    KeyErrorKind, KeyProvider, KeySet, NewCall, Observer, Order, Timestamp, WebhookErrorKind,
};
use trunkline_core_types::{MacKey, VirtualClock};

use crate::faulty::{Fault, Faulty};
use crate::peer::{Does, Peer, account, builder, named};

const SECRET: &str = "canary-secret";

fn keyed(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

fn main_account() -> AccountId {
    "main".parse().unwrap()
}

fn signing() -> StaticKeys {
    StaticKeys::new(SECRET.into()).unwrap()
}

fn client(peer: &Arc<Peer>) -> Client {
    builder().account(account(peer).signing_keys(signing())).build().unwrap()
}

/// Every attempt of the next call is lost.
fn lost() -> Vec<Does> {
    (0..3).map(|_| Does::Closes).collect()
}

/// A body as the contract has it; `key` may be empty.
pub(crate) fn body(id: &str, at: SystemTime, status: &str, key: &str) -> String {
    let at = Timestamp::try_from(at).unwrap();
    let key = if key.is_empty() { String::new() } else { format!(r#","idempotency_key":"{key}""#) };
    format!(
        r#"{{"event_id":"{id}","created":"{at}","type":"call.{status}","call":{{"call_id":"call_7","status":"{status}","timestamps":{{"created":"{at}"}},"cost":0.015{key}}}}}"#
    )
}

pub(crate) fn signed(body: &str, secret: &str) -> Request<Bytes> {
    let signature = MacKey::new(secret.as_bytes()).x_signature(body.as_bytes());
    let mut request = Request::post("/events").body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
    request.headers_mut().insert("x-signature", HeaderValue::from_str(&signature).unwrap());
    request
}

fn event(id: &str, status: &str, key: &str) -> Request<Bytes> {
    signed(&body(id, VirtualClock::new().wall(), status, key), SECRET)
}

#[tokio::test(start_paused = true)]
async fn a_callback_settles_a_call_of_unknown_outcome_and_nobody_is_dialled() {
    let peer = Peer::new(lost());
    let client = client(&peer);
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    let accepted = client.webhooks().accept(&main_account(), &event("e1", "ringing", "k")).await.unwrap();
    assert_eq!((accepted.known, accepted.duplicate), (true, false));
    assert_eq!(accepted.reference.to_string(), "main/call_7");
    let placed = client.place(keyed("k")).await.unwrap();
    assert_eq!((placed.reference.unwrap(), placed.replayed), (accepted.reference, true));
    assert_eq!(placed.call.unwrap().cost.unwrap().to_string(), "0.015 USD", "the event's call is the answer");
    assert_eq!(peer.count(), 3);
    let drained = client.shutdown(Duration::from_secs(1)).await;
    assert_eq!(drained.open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_callback_before_the_reply_changes_nothing_about_the_placement() {
    let peer = Peer::new([Does::AnswersLate(Duration::from_secs(3))]);
    let client = client(&peer);
    let clock = VirtualClock::new();
    let (placed, accepted) = tokio::join!(client.place(keyed("k")), async {
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
        client.webhooks().accept(&main_account(), &event("e1", "queued", "k")).await
    });
    assert!(accepted.unwrap().known);
    assert_eq!((placed.unwrap().tries, peer.count()), (1, 1));
    assert!(client.place(keyed("k")).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn a_callback_before_a_lost_reply_is_the_answer_of_the_call_and_of_whoever_shares_its_key() {
    let peer = Peer::new([Does::Hangs]);
    let client = client(&peer);
    let clock = VirtualClock::new();
    let began = clock.now();
    let (one, two, accepted) = tokio::join!(client.place(keyed("k")), client.place(keyed("k")), async {
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
        client.webhooks().accept(&main_account(), &event("e1", "queued", "k")).await
    });
    let accepted = accepted.unwrap();
    assert!(accepted.known);
    for placed in [one.unwrap(), two.unwrap()] {
        assert_eq!((placed.reference.as_ref(), placed.replayed), (Some(&accepted.reference), false));
        assert!(placed.tries >= 1 && placed.call.is_some());
    }
    assert_eq!(peer.count(), 1, "a settled key begins no further attempt");
    assert!(clock.now() - began <= Duration::from_secs(30), "nothing is waited for past the deadline");
    assert!(client.place(keyed("k")).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn a_callback_before_the_last_lost_reply_is_heard_at_the_deadline_too() {
    // One attempt that takes all the time there is.
    let peer = Peer::new([Does::Hangs]);
    let client = client(&peer);
    let clock = VirtualClock::new();
    let short = || keyed("k").timeout(Duration::from_secs(2));
    let (placed, accepted) = tokio::join!(client.place(short()), async {
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
        client.webhooks().accept(&main_account(), &event("e1", "queued", "k")).await
    });
    assert!(accepted.unwrap().known);
    assert_eq!(placed.unwrap().reference.unwrap().to_string(), "main/call_7");
    let forgotten = crate::webhooks::client(&Peer::new([Does::Hangs]));
    assert!(forgotten.place(short()).await.unwrap_err().is_ambiguous(), "nothing was proven of it");
}

#[tokio::test(start_paused = true)]
async fn any_order_and_duplicates_give_one_state_and_a_late_duplicate_changes_nothing() {
    let peer = Peer::new([]);
    let client = client(&peer);
    client.place(keyed("k")).await.unwrap();
    let webhooks = client.webhooks();
    let clock = VirtualClock::new();
    let started = clock.wall();
    let told = |n: u64, status: &str| {
        signed(&body(&format!("e{n}"), started + Duration::from_secs(n), status, "k"), SECRET)
    };
    for (n, status) in [(3, "completed"), (1, "ringing"), (4, "failed"), (2, "answered"), (1, "ringing")] {
        webhooks.accept(&main_account(), &told(n, status)).await.unwrap();
    }
    let call = "main/call_7".parse().unwrap();
    let state = client.webhooks().state(&call).await.unwrap().unwrap();
    assert_eq!(state.status(), Some(&CallStatus::Completed), "the first end holds");
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    let late = webhooks.accept(&main_account(), &told(1, "ringing")).await.unwrap();
    assert_eq!((late.duplicate, late.state), (true, state.clone()));
    assert_eq!(webhooks.state(&call).await.unwrap(), Some(state));
}

#[tokio::test(start_paused = true)]
async fn a_final_status_ends_the_live_call_lease_and_others_do_not() {
    let peer = Peer::new([]);
    let capped =
        account(&peer).signing_keys(signing()).live_calls(NonZeroU32::MIN, Duration::from_secs(3600));
    let client = builder().account(capped).build().unwrap();
    client.place(keyed("k")).await.unwrap();
    let short = |key: &str| keyed(key).timeout(Duration::from_secs(1));
    for (id, status, key) in [("e1", "answered", "k"), ("e2", "on_hold", "k"), ("e3", "completed", "other")] {
        client.webhooks().accept(&main_account(), &event(id, status, key)).await.unwrap();
        assert_eq!(client.place(short("l")).await.unwrap_err().kind(), ErrorKind::Unsent, "{status}");
    }
    client.webhooks().accept(&main_account(), &event("e4", "busy", "k")).await.unwrap();
    assert!(client.place(short("l")).await.is_ok());
    // The old call's end, told again, does not end the lease of the new one.
    client.webhooks().accept(&main_account(), &event("e4", "busy", "k")).await.unwrap();
    assert_eq!(client.place(short("m")).await.unwrap_err().kind(), ErrorKind::Unsent);
}

#[derive(Debug, Default)]
struct Facts(Mutex<Vec<&'static str>>);

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        if let Fact::Webhook { result } = fact {
            self.0.lock().unwrap().push(result);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_its_check_touches_nothing_and_is_counted() {
    let peer = Peer::new(lost());
    let facts = Arc::new(Facts::default());
    let unsigned = named("unsigned", &peer);
    let accounts = builder().account(account(&peer).signing_keys(signing())).account(unsigned);
    let client = accounts.observer(facts.clone()).build().unwrap();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    let webhooks = client.webhooks();
    let wall = VirtualClock::new().wall();
    let day = Duration::from_secs(24 * 3600 + 60);
    let good = body("e1", wall, "ringing", "k");
    for (request, kind, code) in [
        (signed(&good, "another"), WebhookErrorKind::Signature, 401),
        (Request::post("/").body(Bytes::from(good.clone())).unwrap(), WebhookErrorKind::Signature, 401),
        (signed(&body("e1", wall - day, "ringing", "k"), SECRET), WebhookErrorKind::Stale, 400),
        (signed("{}", SECRET), WebhookErrorKind::Unreadable, 400),
    ] {
        let error = webhooks.accept(&main_account(), &request).await.unwrap_err();
        assert_eq!((error.kind(), error.status().as_u16()), (kind, code));
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous(), "{kind:?}");
        assert!(webhooks.state(&"main/call_7".parse().unwrap()).await.unwrap().is_none());
    }
    let of = |name: &str| name.parse::<AccountId>().unwrap();
    let request = signed(&good, SECRET);
    let kinds =
        [webhooks.accept(&of("nobody"), &request).await, webhooks.accept(&of("unsigned"), &request).await];
    let kinds = kinds.map(|refused| refused.unwrap_err().kind());
    assert_eq!(kinds, [WebhookErrorKind::Account, WebhookErrorKind::Unsupported]);
    // None of the refused ones used the event's id up.
    assert!(!webhooks.accept(&main_account(), &request).await.unwrap().duplicate);
    assert!(webhooks.accept(&main_account(), &request).await.unwrap().duplicate);
    let seen = facts.0.lock().unwrap().clone();
    let want = ["signature", "signature", "stale", "unreadable", "unsupported", "accepted", "duplicate"];
    assert_eq!(seen, want);
}

#[tokio::test(start_paused = true)]
async fn the_previous_secret_of_a_rotation_is_still_accepted() {
    let peer = Peer::new([]);
    let rotated = signing().with_previous("canary-old".into()).unwrap();
    let client = builder().account(account(&peer).signing_keys(rotated)).build().unwrap();
    for (id, secret, taken) in
        [("e1", SECRET, true), ("e2", "canary-old", true), ("e3", "canary-older", false)]
    {
        let request = signed(&body(id, VirtualClock::new().wall(), "ringing", "k"), secret);
        assert_eq!(client.webhooks().accept(&main_account(), &request).await.is_ok(), taken, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_call_that_nobody_here_placed_is_taken_and_said_so() {
    let peer = Peer::new([]);
    let client = client(&peer);
    for (id, key) in [("e1", "foreign"), ("e2", "")] {
        let accepted = client.webhooks().accept(&main_account(), &event(id, "ringing", key)).await.unwrap();
        assert!(!accepted.known && !accepted.duplicate, "{id}");
    }
    assert!(client.place(keyed("foreign")).await.is_ok(), "an event makes no claim");
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn keys(&self, _: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(std::future::ready(Err(KeyError::new(KeyErrorKind::Unavailable, "sealed"))))
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_noted_is_not_taken_so_that_it_comes_again() {
    let peer = Peer::new([]);
    let keyless = builder().account(account(&peer).signing_keys(NoKeys)).build().unwrap();
    let error = keyless.webhooks().accept(&main_account(), &event("e1", "ringing", "k")).await.unwrap_err();
    assert_eq!((error.kind(), error.status().as_u16()), (WebhookErrorKind::Unavailable, 503));

    let clock = Arc::new(VirtualClock::new());
    let journal = Faulty::new(clock.clone());
    let peer = Peer::new(lost());
    let client = Client::builder(Journal::custom(journal.clone()))
        .clock(clock)
        .account(account(&peer).signing_keys(signing()))
        .build()
        .unwrap();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    let request = event("e1", "ringing", "k");
    journal.set(Fault::Settle);
    let error = client.webhooks().accept(&main_account(), &request).await.unwrap_err();
    assert_eq!(error.kind(), WebhookErrorKind::Unavailable);
    journal.set(None);
    let accepted = client.webhooks().accept(&main_account(), &request).await.unwrap();
    assert!(accepted.known && !accepted.duplicate);
    assert!(client.place(keyed("k")).await.unwrap().replayed);
}

fn sent(peer: &Peer) -> Vec<String> {
    peer.requests.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_key_travels_in_the_callback_url_the_same_for_every_attempt() {
    let base = |account: Account| account.callback_base("https://us.example.com/events/main?a=b").unwrap();
    let peer = Peer::new([Does::Closes, Does::Answers(201, "")]);
    let client = builder().account(base(account(&peer))).build().unwrap();
    client.place(keyed("order/17")).await.unwrap();
    let bodies = sent(&peer);
    let url = r#""callback_url":"https://us.example.com/events/main?a=b&trunkline_key=order%2F17""#;
    assert!(bodies[0].contains(url), "{}", bodies[0]);
    assert_eq!(bodies[0], bodies[1]);

    let peer = Peer::new([]);
    let client = builder().account(base(account(&peer))).build().unwrap();
    let own = NewCall::say("+14155550123", "hello").unwrap().callback("https://own.example.com/x").unwrap();
    client.place(own).await.unwrap();
    assert!(sent(&peer)[0].contains(r#""callback_url":"https://own.example.com/x""#), "the call's own stays");
}

//! Reconcile by listing, in virtual time: a provider without look-ups by key, or one that has forgotten the key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, Clock, Idempotency, Journal, NewCall, Order, Provider, Report};
use trunkline_core_types::{AttemptJournal, Call, CallEvent, CallRef, CallStatus, Timestamp, VirtualClock};
use trunkline_journal::MemoryJournal;

use crate::callbacks::Keyless;
use crate::peer::{Does, Peer, PeerDial, account, builder};

const SECOND: Duration = Duration::from_secs(1);
/// The transport's total, and the contract's processing and listing delays.
const DUE: Duration = Duration::from_secs(30 + 60 + 2);

fn keyed(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

/// An account of a service that knows no idempotency keys.
fn keyless(peer: &Arc<Peer>) -> Account {
    let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    let mut profile = voice.profile().clone();
    profile.idempotency = Idempotency::No;
    let keys = StaticKeys::new("key".into()).unwrap();
    let account = Account::new("main", Keyless(voice, profile), keys).unwrap();
    account.dial(Arc::new(PeerDial(peer.clone())))
}

fn now() -> SystemTime {
    VirtualClock::new().wall()
}

/// A listed call to the number of the order: its id, when it was created, and more fields.
fn row(id: &str, created: SystemTime, more: &str) -> String {
    let created = Timestamp::try_from(created).unwrap();
    format!(
        r#"{{"call_id":"{id}","status":"ringing","to":"+14155550123","timestamps":{{"created":"{created}"}},"cost":0.015{more}}}"#
    )
}

fn page(rows: &[String], more: Option<&str>) -> Does {
    let last = more.map_or("null".to_owned(), |id| format!("\"{id}\""));
    let body = format!(r#"{{"data":[{}],"has_more":{},"last_id":{last}}}"#, rows.join(","), more.is_some());
    Does::Answers(200, body.leak())
}

fn call(id: &str) -> Does {
    Does::Answers(200, row(id, now(), "").leak())
}

fn counts(report: &Report) -> [usize; 4] {
    [report.placed, report.proven_absent, report.still_unknown, report.failed]
}

/// A client of the keyless service whose call `k` ended with an unknown outcome; the peer answers `then` after that.
async fn with_an_open_call(then: Vec<Does>) -> (Arc<Peer>, Client) {
    let peer = Peer::new([Does::Closes].into_iter().chain(then));
    let client = builder().account(keyless(&peer)).build().unwrap();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    assert_eq!(peer.count(), 1, "nothing is repeated without keys");
    (peer, client)
}

async fn pass(time: Duration) {
    let clock = VirtualClock::new();
    clock.sleep_until(clock.now() + time).await;
}

/// Runs once when the call's time has come.
async fn run(client: &Client) -> Report {
    pass(DUE + SECOND).await;
    client.reconciler().free_proven_absent().run_once(100).await
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_not_asked_for_before_the_fence_and_the_delays() {
    let (peer, client) = with_an_open_call(vec![page(&[], None)]).await;
    pass(DUE - 2 * SECOND).await;
    assert_eq!((counts(&client.reconciler().run_once(9).await), peer.count()), ([0; 4], 1));
    pass(3 * SECOND).await;
    assert_eq!(counts(&client.reconciler().run_once(9).await), [0, 1, 0, 0]);
    let asked = peer.requests.lock().unwrap()[1].1.clone();
    assert!(asked.starts_with("GET /v1/calls?to=%2B14155550123&created_after="), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_listed_key_decides() {
    let rows = [
        row("call_6", now(), r#","idempotency_key":"other""#),
        row("call_7", now(), r#","idempotency_key":"k""#),
    ];
    let (_, client) = with_an_open_call(vec![page(&rows, None), call("call_7")]).await;
    assert_eq!(counts(&run(&client).await), [1, 0, 0, 0]);
    let placed = client.place(keyed("k")).await.unwrap();
    assert_eq!((placed.reference.unwrap().to_string().as_str(), placed.replayed), ("main/call_7", true));

    let (peer, client) = with_an_open_call(vec![page(&rows[..1], None)]).await;
    assert_eq!(counts(&run(&client).await), [0, 1, 0, 0], "every listed call is another key's");
    assert!(!client.place(keyed("k")).await.unwrap().replayed, "so it may be dialled again");
    assert_eq!(peer.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_only_call_of_the_day_in_the_minutes_of_the_attempt_is_ours() {
    let rows = [row("call_7", now(), "")];
    let (_, client) = with_an_open_call(vec![page(&rows, None), call("call_7")]).await;
    assert_eq!(counts(&run(&client).await), [1, 0, 0, 0]);
    assert_eq!(client.place(keyed("k")).await.unwrap().reference.unwrap().id.as_str(), "call_7");
}

#[tokio::test(start_paused = true)]
async fn calls_that_cannot_be_told_apart_stay_unknown() {
    let hour = 3600 * SECOND;
    for rows in [
        vec![row("call_1", now(), ""), row("call_2", now(), "")],
        vec![row("call_1", now() - 20 * hour, "")],
        vec![row("call_1", now() - 20 * hour, ""), row("call_2", now(), "")],
        vec![row("call_1", now() + hour, "")],
    ] {
        let (_, client) = with_an_open_call(vec![page(&rows, None)]).await;
        assert_eq!(counts(&run(&client).await), [0, 0, 1, 0], "{rows:?}");
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous(), "and nobody is rung");
    }
}

#[tokio::test(start_paused = true)]
async fn two_open_keys_of_one_number_do_not_share_a_call() {
    let rows = [row("call_7", now(), "")];
    let listed = || page(&rows, None);
    let peer = Peer::new([Does::Closes, Does::Closes, listed(), listed()]);
    let client = builder().account(keyless(&peer)).build().unwrap();
    for key in ["k", "k2"] {
        assert!(client.place(keyed(key)).await.unwrap_err().is_ambiguous());
    }
    assert_eq!(counts(&run(&client).await), [0, 0, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_which_an_event_told_is_its_key_s() {
    let rows = [row("call_7", now(), ""), row("call_8", now(), "")];
    for (key, also, want) in [
        (Some("other"), Some("third"), [0, 1, 0, 0]),
        (Some("other"), None, [1, 0, 0, 0]),
        (Some("k"), None, [1, 0, 0, 0]),
        (None, Some("other"), [1, 0, 0, 0]),
        (None, None, [0, 0, 1, 0]),
    ] {
        let journal = Arc::new(MemoryJournal::new(Arc::new(VirtualClock::new())));
        let peer = Peer::new([Does::Closes, page(&rows, None), call("call_7")]);
        let client = Client::builder(Journal::custom(journal.clone())).clock(Arc::new(VirtualClock::new()));
        let client = client.account(keyless(&peer)).build().unwrap();
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
        for (id, key) in [("call_7", key), ("call_8", also)] {
            let shown = Call::new(id.parse().unwrap(), CallStatus::Ringing);
            let mut event = CallEvent::new("evt_1".parse().unwrap(), now().try_into().unwrap(), shown);
            event.key = key.map(|key| key.parse().unwrap());
            let heard = CallRef { account: "main".parse().unwrap(), id: event.call.id.clone() };
            journal.calls().unwrap().hear(&heard, &event).await.unwrap();
        }
        assert_eq!(counts(&run(&client).await), want, "{key:?} {also:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_followed_and_bounded() {
    let other = |id: &str| row(id, now(), r#","idempotency_key":"other""#);
    let ours = row("call_9", now(), r#","idempotency_key":"k""#);
    let (peer, client) = with_an_open_call(vec![
        page(&[other("call_1")], Some("call_1")),
        page(&[ours], None),
        call("call_9"),
    ])
    .await;
    assert_eq!(counts(&run(&client).await), [1, 0, 0, 0]);
    let second = peer.requests.lock().unwrap()[2].1.clone();
    assert!(second.contains("&after=call_1&limit=100 "), "{second}");

    let endless = (0..20).map(|_| page(&[other("call_1")], Some("call_1"))).collect();
    let (peer, client) = with_an_open_call(endless).await;
    assert_eq!(counts(&run(&client).await), [0, 0, 1, 0], "too long to be read whole");
    assert_eq!(peer.count(), 1 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_cut_or_fails_proves_nothing() {
    let first = || page(&[row("call_1", now(), r#","idempotency_key":"other""#)], Some("call_1"));
    let elsewhere = row("call_2", now(), "").replace("0123", "0199");
    for (then, want) in [
        (vec![first(), Does::Answers(200, "<html>")], [0, 0, 1, 0]),
        (vec![first(), page(&[elsewhere], None)], [0, 0, 1, 0]),
        (vec![Does::Answers(200, "{}")], [0, 0, 1, 0]),
        (vec![first(), Does::Answers(404, "{}")], [0, 0, 0, 1]),
        (vec![first(), Does::Closes, Does::Closes, Does::Closes], [0, 0, 0, 1]),
    ] {
        let (_, client) = with_an_open_call(then.clone()).await;
        assert_eq!(counts(&run(&client).await), want, "{then:?}");
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_provider_may_have_forgotten_proves_no_absence() {
    let day = 24 * 3600 * SECOND;
    let nothing = || page(&[], None);
    let listed = || page(&[row("call_7", now(), "")], None);
    type Then = Box<dyn Fn() -> Vec<Does>>;
    let cases: [(Duration, Then, [usize; 4], usize); 4] = [
        (2 * DUE, Box::new(move || vec![nothing()]), [0, 1, 0, 0], 1),
        (day, Box::new(move || vec![nothing(), nothing()]), [0, 1, 0, 0], 2),
        (day, Box::new(move || vec![nothing(), listed(), call("call_7")]), [1, 0, 0, 0], 3),
        (day, Box::new(move || vec![Does::Answers(200, "{}"), nothing()]), [0, 1, 0, 0], 2),
    ];
    for (at, (age, then, want, asked)) in cases.into_iter().enumerate() {
        let peer = Peer::new((0..3).map(|_| Does::Closes).chain(then()));
        let client = builder().account(account(&peer)).build().unwrap();
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
        pass(age).await;
        assert_eq!(counts(&client.reconciler().run_once(9).await), want, "{at}");
        assert_eq!(peer.count(), 3 + asked, "{at}");
    }
}

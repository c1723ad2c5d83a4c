//! Reconcile in virtual time: never too early, only proof settles, a key is freed only where it was asked for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Clock, ErrorKind, Fact, Finding, Journal, NewCall, Observer, Order, Provider,
    Reconciler, Report,
};
use trunkline_core_types::VirtualClock;
use trunkline_journal::MemoryJournal;

use crate::callbacks::Keyless;
use crate::peer::{Does, Peer, account, builder, named};

/// The transport's total, after which nothing of a call leaves, and the contract's processing and listing delays.
const DUE: Duration = Duration::from_secs(30 + 60 + 2);

const NONE: &str = r#"{"data":[],"has_more":false,"last_id":null}"#;
const FOUND: &str = r#"{"data":[{"call_id":"call_7","status":"ringing","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":0.015,"idempotency_key":"k"}],"has_more":false,"last_id":"call_7"}"#;
const OTHER: &str = r#"{"data":[{"call_id":"call_7","status":"ringing","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":0.015,"idempotency_key":"other"}],"has_more":false,"last_id":"call_7"}"#;
const CUT: &str = r#"{"data":[],"has_more":true,"last_id":null}"#;
const CALL: &str =
    r#"{"call_id":"call_7","status":"ringing","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":0.015}"#;

fn keyed(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

async fn until(at: Instant) {
    VirtualClock::new().sleep_until(at).await;
}

/// A client whose call `k` ended with an unknown outcome, and when it was placed. The peer answers `then` after that.
async fn with_an_open_call(then: &[Does]) -> (Arc<Peer>, Client, Instant) {
    let lost = (0..3).map(|_| Does::Closes);
    let peer = Peer::new(lost.chain(then.iter().cloned()));
    let client = builder().account(account(&peer)).build().unwrap();
    let started = VirtualClock::new().now();
    assert_eq!(client.place(keyed("k")).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    (peer, client, started)
}

fn counts(report: &Report) -> [usize; 4] {
    [report.placed, report.proven_absent, report.still_unknown, report.failed]
}

/// Runs once when the call's time has come.
async fn run(reconciler: Reconciler, started: Instant) -> Report {
    until(started + DUE + Duration::from_millis(2)).await;
    reconciler.run_once(100).await
}

#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_the_fence_and_the_provider_s_delays() {
    let (peer, client, started) = with_an_open_call(&[Does::Answers(200, NONE)]).await;
    for early in [Duration::from_secs(29), Duration::from_secs(31), DUE - Duration::from_millis(2)] {
        until(started + early).await;
        let report = client.reconciler().free_proven_absent().run_once(100).await;
        assert_eq!((counts(&report), peer.count()), ([0; 4], 3), "{early:?}: a listing may lag");
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    }
    let report = run(client.reconciler(), started).await;
    assert_eq!((counts(&report), peer.count()), ([0, 1, 0, 0], 4));
}

#[tokio::test(start_paused = true)]
async fn each_account_s_own_delays_hold() {
    let peer = Peer::new((0..3).map(|_| Does::Closes).chain([Does::Answers(200, NONE)]));
    let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    let mut profile = voice.profile().clone();
    (profile.listing_delay, profile.processing_delay) = (Duration::ZERO, Duration::ZERO);
    let keys = StaticKeys::new("key".into()).unwrap();
    let quick = Account::new("quick", Keyless(voice, profile), keys).unwrap();
    let client = builder().account(account(&peer)).account(quick).build().unwrap();
    let started = VirtualClock::new().now();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    until(started + DUE - Duration::from_millis(2)).await;
    assert_eq!(counts(&client.reconciler().run_once(9).await), [0; 4]);
    assert_eq!(counts(&run(client.reconciler(), started).await), [0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_left_alone() {
    let peer = Peer::new([Does::Hangs, Does::Hangs, Does::Hangs]);
    let client = builder().account(account(&peer)).build().unwrap();
    let clock = VirtualClock::new();
    let long = keyed("k").timeout(Duration::from_secs(200));
    let reconciler = client.reconciler().free_proven_absent();
    let (_, report) = tokio::join!(client.place(long), async {
        until(clock.now() + Duration::from_secs(120)).await;
        reconciler.run_once(100).await
    });
    assert_eq!(counts(&report), [0; 4]);
    assert!(peer.requests.lock().unwrap().iter().all(|(_, text)| text.starts_with("POST")));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_found_is_settled_with_its_own_reply() {
    let then = [Does::Answers(200, FOUND), Does::Answers(200, CALL)];
    let (peer, client, started) = with_an_open_call(&then).await;
    let report = run(client.reconciler(), started).await;
    assert_eq!(counts(&report), [1, 0, 0, 0]);
    assert_eq!(report.findings, [("k".parse().unwrap(), Finding::Placed)]);
    let placed = client.place(keyed("k")).await.unwrap();
    assert_eq!((placed.reference.unwrap().to_string().as_str(), placed.replayed), ("main/call_7", true));
    let asked: Vec<_> = peer.requests.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
    assert!(asked[3].starts_with("GET /v1/calls?idempotency_key=k "), "{}", asked[3]);
    assert!(asked[4].starts_with("GET /v1/calls/call_7 ") && asked.len() == 5);
    assert_eq!(client.shutdown(Duration::from_secs(1)).await.open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_found_is_placed_also_without_its_own_reply() {
    let then = [Does::Answers(200, FOUND), Does::Answers(404, "{}")];
    let (_, client, started) = with_an_open_call(&then).await;
    assert_eq!(counts(&run(client.reconciler(), started).await), [1, 0, 0, 0]);
    let placed = client.place(keyed("k")).await.unwrap();
    assert!(placed.replayed && placed.reference.is_none());
}

#[tokio::test(start_paused = true)]
async fn absence_is_reported_and_frees_the_key_only_where_that_was_asked_for() {
    let then = [Does::Answers(200, NONE), Does::Answers(200, NONE)];
    let (peer, client, started) = with_an_open_call(&then).await;
    let report = run(client.reconciler(), started).await;
    assert_eq!(report.findings, [("k".parse().unwrap(), Finding::ProvenAbsent)]);
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous(), "reported, and still open");
    assert_eq!(peer.count(), 4);

    let report = client.reconciler().free_proven_absent().run_once(100).await;
    assert_eq!(counts(&report), [0, 1, 0, 0]);
    assert!(!client.place(keyed("k")).await.unwrap().replayed, "free to be dialled");
    assert_eq!(peer.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_proof_leaves_the_call_unknown() {
    for answer in [OTHER, CUT, "{}", "<html>", r#"{"data":[{}],"has_more":false}"#] {
        let (_, client, started) = with_an_open_call(&[Does::Answers(200, answer)]).await;
        let report = run(client.reconciler().free_proven_absent(), started).await;
        assert_eq!(counts(&report), [0, 0, 1, 0], "{answer}");
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_asked_has_failed_and_stays_open() {
    // A 401 is asked about once more, with a fresh key.
    let refused = || Does::Answers(401, NONE);
    let refusals: [&[Does]; 3] = [
        &[Does::Closes, Does::Closes, Does::Closes],
        &[Does::Answers(404, NONE)],
        &[refused(), refused(), refused()],
    ];
    for then in refusals {
        let (_, client, started) = with_an_open_call(then).await;
        let report = run(client.reconciler().free_proven_absent(), started).await;
        assert_eq!(counts(&report), [0, 0, 0, 1], "{then:?}");
        assert_eq!(report.error.unwrap().key().unwrap().as_str(), "k");
        assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_comes_first_is_not_undone() {
    let peer = Peer::new((0..3).map(|_| Does::Closes).chain([Does::Hangs, Does::Answers(200, NONE)]));
    let keys = trunkline::keys::StaticKeys::new("secret".into()).unwrap();
    let client = builder().account(account(&peer).signing_keys(keys)).build().unwrap();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    let clock = VirtualClock::new();
    until(clock.now() + DUE).await;
    let reconciler = client.reconciler().free_proven_absent();
    let (report, accepted) = tokio::join!(reconciler.run_once(100), async {
        until(clock.now() + Duration::from_secs(1)).await;
        let body = crate::webhooks::body("e1", clock.wall(), "ringing", "k");
        client.webhooks().accept(&"main".parse().unwrap(), &crate::webhooks::signed(&body, "secret")).await
    });
    assert!(accepted.unwrap().known);
    assert_eq!(counts(&report), [0, 0, 1, 0], "the answer is older than the callback");
    assert!(client.place(keyed("k")).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn runs_are_bounded_and_go_on_where_the_last_one_stopped() {
    let lost = (0..5 * 3).map(|_| Does::Closes);
    let peer = Peer::new(lost.chain((0..20).map(|_| Does::Answers(200, CUT))));
    let client = builder().account(account(&peer)).build().unwrap();
    for n in 0..5 {
        assert!(client.place(keyed(&format!("k{n}"))).await.unwrap_err().is_ambiguous());
    }
    until(VirtualClock::new().now() + DUE + Duration::from_secs(1)).await;
    let reconciler = client.reconciler();
    let mut looked = Vec::new();
    for _ in 0..4 {
        let report = reconciler.run_once(2).await;
        looked.push(report.findings.iter().map(|(key, _)| key.as_str().to_owned()).collect::<Vec<_>>());
    }
    looked.iter_mut().for_each(|keys| keys.sort());
    assert_eq!(looked, [vec!["k0", "k1"], vec!["k2", "k3"], vec!["k4"], vec!["k0", "k1"]]);
    assert_eq!(counts(&reconciler.run_once(0).await), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn one_call_is_looked_at_in_every_run_of_one() {
    let none = (0..9).map(|_| Does::Answers(200, CUT));
    let (peer, client, started) = with_an_open_call(&none.collect::<Vec<_>>()).await;
    until(started + 2 * DUE).await;
    for n in 1..=3 {
        assert_eq!(counts(&client.reconciler().run_once(1).await), [0, 0, 1, 0]);
        assert_eq!(peer.count(), 3 + n);
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_do_not_meet() {
    let (peer, client, started) =
        with_an_open_call(&[Does::Answers(200, NONE), Does::Answers(200, NONE)]).await;
    until(started + 2 * DUE).await;
    let (one, two) = (client.reconciler(), client.clone().reconciler());
    let (one, two) = tokio::join!(one.run_once(9), two.run_once(9));
    assert_eq!((counts(&one), counts(&two), peer.count()), ([0, 1, 0, 0], [0; 4], 4));
    assert!(two.error.unwrap().to_string().contains("under way"));
    drop(client.reconciler().run_once(9));
    assert_eq!(counts(&client.reconciler().run_once(9).await), [0, 1, 0, 0], "a dropped run holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_account_that_this_client_lacks_stays_unknown() {
    let clock = Arc::new(VirtualClock::new());
    let journal = Arc::new(MemoryJournal::new(clock.clone()));
    let with = |id: &str, peer: &Arc<Peer>| {
        let journal = Journal::custom(journal.clone());
        Client::builder(journal).clock(clock.clone()).account(named(id, peer)).build().unwrap()
    };
    let (mine, other) = (Peer::new([]), Peer::new((0..3).map(|_| Does::Closes)));
    assert!(with("other", &other).place(keyed("k")).await.unwrap_err().is_ambiguous());
    until(clock.now() + 2 * DUE).await;
    let report = with("mine", &mine).reconciler().free_proven_absent().run_once(9).await;
    assert_eq!((counts(&report), mine.count()), ([0, 0, 1, 0], 0));
}

#[derive(Debug, Default)]
struct Gauge(Mutex<Vec<(u64, u64)>>);

impl Observer for Gauge {
    fn saw(&self, fact: Fact) {
        if let Fact::OpenCalls { count, oldest } = fact {
            self.0.lock().unwrap().push((count, oldest.as_secs()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_open_calls_are_counted_with_the_age_of_the_oldest() {
    let gauge = Arc::new(Gauge::default());
    let then = [Does::Answers(200, CUT), Does::Answers(200, FOUND), Does::Answers(200, CALL)];
    let peer = Peer::new((0..3).map(|_| Does::Closes).chain(then));
    let client = builder().account(account(&peer)).observer(gauge.clone()).build().unwrap();
    let started = VirtualClock::new().now();
    assert!(client.place(keyed("k")).await.unwrap_err().is_ambiguous());
    let reports = client.reconciler().every(Duration::from_secs(100), 9);
    let reports: Vec<_> = reports.take(3).collect().await;
    assert_eq!(reports.iter().map(counts).collect::<Vec<_>>(), [[0; 4], [0, 0, 1, 0], [1, 0, 0, 0]]);
    assert_eq!(reports.iter().map(|r| (r.open, r.waiting)).collect::<Vec<_>>(), [(1, 1), (1, 0), (0, 0)]);
    let next = reports[0].next_in.unwrap();
    assert!(next <= DUE && next > DUE - Duration::from_secs(30), "{next:?}");
    assert_eq!((reports[1].next_in, reports[2].next_in), (None, None));
    let seen = gauge.0.lock().unwrap().clone();
    let took = VirtualClock::new().now() - started;
    assert_eq!((seen[0], seen[2]), ((0, 0), (0, 0)), "before its fence, and after it was settled");
    assert_eq!(seen[1].0, 1);
    assert!(seen[1].1 <= took.as_secs() - 100 - 30 && seen[1].1 >= 70, "{seen:?} {took:?}");
}

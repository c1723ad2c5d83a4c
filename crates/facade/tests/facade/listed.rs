//! Reconcile by listing over real sockets: the simulator as a service that knows no keys, shows none, and lists late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, BoxFuture, Client, Clock, Idempotency, Journal, NewCall, Order, Provider, SystemClock,
};
use trunkline_journal::MemoryJournal;
use trunkline_simulator::{Fault, Simulator};

use crate::callbacks::Keyless;

const SECOND: Duration = Duration::from_secs(1);

/// The machine's clock, moved on by hand; its timers keep the machine's time.
#[derive(Debug, Default)]
struct Hand(SystemClock, AtomicU64);

impl Hand {
    fn moved(&self) -> Duration {
        Duration::from_secs(self.1.load(Ordering::Relaxed))
    }

    fn pass(&self, seconds: u64) {
        self.1.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        self.0.now() + self.moved()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall() + self.moved()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at.checked_sub(self.moved()).unwrap_or(at))
    }
}

/// The simulator, and a client of it that lists: acted on at once, listed up to 2 s late.
async fn world() -> (Simulator, Client, Arc<Hand>) {
    let (sim, clock) = simulator().await;
    let journal = Journal::custom(Arc::new(MemoryJournal::new(clock.clone())));
    let client = client(&sim, &clock, journal);
    (sim, client, clock)
}

async fn simulator() -> (Simulator, Arc<Hand>) {
    let clock = Arc::new(Hand::default());
    let builder = Simulator::builder().ignore_idempotency().hide_keys().listing_lag(2 * SECOND);
    (builder.clock(clock.clone()).start().await.unwrap(), clock)
}

fn client(sim: &Simulator, clock: &Arc<Hand>, journal: Journal) -> Client {
    let voice = ClaudeVoice::new(&sim.base_url()).unwrap();
    let mut profile = voice.profile().clone();
    profile.idempotency = Idempotency::No;
    let keys = StaticKeys::new(sim.api_key().into()).unwrap();
    let account = Account::new("main", Keyless(voice, profile), keys).unwrap();
    let account = account.processing_delay(Duration::ZERO).listing_delay(2 * SECOND);
    Client::builder(journal).clock(clock.clone()).account(account).build().unwrap()
}

fn order(n: u32, key: &str) -> Order {
    let call = NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap();
    Order::new(call).key(key).unwrap().timeout(SECOND)
}

async fn lost(sim: &Simulator, client: &Client, fault: Fault, order: Order) {
    assert!(sim.fault_next(fault));
    assert!(client.place(order).await.unwrap_err().is_ambiguous());
}

#[tokio::test]
async fn a_late_listing_is_waited_for_and_settles_each_person_s_own_call() {
    let (sim, client, clock) = world().await;
    lost(&sim, &client, Fault::ResetAfterActing, order(1, "rung")).await;
    lost(&sim, &client, Fault::ResetBeforeActing, order(2, "not-rung")).await;
    let reconciler = client.reconciler().free_proven_absent();
    clock.pass(1);
    assert!(reconciler.run_once(9).await.findings.is_empty(), "the call may be missing from the listing");
    clock.pass(3);
    let report = reconciler.run_once(9).await;
    assert_eq!((report.placed, report.proven_absent, report.failed), (1, 1, 0), "{report:?}");
    let placed = client.place(order(1, "rung")).await.unwrap();
    assert_eq!((placed.replayed, placed.reference.unwrap().id.as_str()), (true, &*sim.calls()[0].call_id));
    assert!(!client.place(order(2, "not-rung")).await.unwrap().replayed);
    assert_eq!((sim.book().calls, sim.book().duplicates), (2, 0));
}

#[tokio::test]
async fn two_calls_to_one_number_are_not_told_apart_and_nobody_is_rung_again() {
    let (sim, client, clock) = world().await;
    lost(&sim, &client, Fault::ResetAfterActing, order(1, "a")).await;
    lost(&sim, &client, Fault::ResetBeforeActing, order(1, "b")).await;
    clock.pass(4);
    let report = client.reconciler().free_proven_absent().run_once(9).await;
    assert_eq!((report.placed, report.proven_absent, report.still_unknown), (0, 0, 2), "{report:?}");
    for key in ["a", "b"] {
        assert!(client.place(order(1, key)).await.unwrap_err().is_ambiguous());
    }
    assert_eq!(sim.times_rung("+14155550001"), 1);
}

#[tokio::test]
async fn a_number_with_more_calls_than_a_page_is_read_to_its_end() {
    let (sim, client, clock) = world().await;
    for n in 0..130 {
        client.place(order(1, &format!("earlier-{n}")).timeout(30 * SECOND)).await.unwrap();
        clock.pass(1);
    }
    lost(&sim, &client, Fault::ResetAfterActing, order(1, "late")).await;
    clock.pass(4);
    let report = client.reconciler().run_once(9).await;
    assert_eq!(report.placed, 1, "its neighbours are other keys': {report:?}");
    let placed = client.place(order(1, "late")).await.unwrap().reference.unwrap();
    assert_eq!(placed.id.as_str(), &*sim.calls()[130].call_id);
    assert!(sim.book().requests >= 130 + 1 + 2, "both pages were read");
}

/// Places call `first` to person 1 with its reply, loses `second` to the same, in either order.
async fn one_settled_one_lost(sim: &Simulator, client: &Client, fault: Fault, lost_first: bool) {
    if lost_first {
        lost(sim, client, fault, order(1, "second")).await;
    }
    client.place(order(1, "first").timeout(30 * SECOND)).await.unwrap();
    if !lost_first {
        lost(sim, client, fault, order(1, "second")).await;
    }
}

/// What a reconcile must find of `second`, and what a second placement of both keys then gives.
async fn each_has_its_own(sim: &Simulator, client: &Client, fault: Fault, lost_first: bool) {
    let report = client.reconciler().free_proven_absent().run_once(9).await;
    let rung = fault == Fault::ResetAfterActing;
    let want = (usize::from(rung), usize::from(!rung), 0);
    assert_eq!((report.placed, report.proven_absent, report.still_unknown), want, "{lost_first} {report:?}");
    let again = client.place(order(1, "second").timeout(30 * SECOND)).await.unwrap();
    assert_eq!(again.replayed, rung, "{lost_first}");
    let first = client.place(order(1, "first").timeout(30 * SECOND)).await.unwrap().reference.unwrap().id;
    let [mine, other] = if rung && lost_first { [1, 0] } else { [0, 1] };
    let calls = sim.calls();
    assert_eq!((first.as_str(), calls.len()), (&*calls[mine].call_id, 2), "{lost_first}");
    assert_eq!(again.reference.unwrap().id.as_str(), &*calls[other].call_id, "{lost_first}");
}

#[tokio::test]
async fn a_call_of_another_key_is_neither_ours_nor_in_the_way() {
    for fault in [Fault::ResetAfterActing, Fault::ResetBeforeActing] {
        for lost_first in [false, true] {
            let (sim, client, clock) = world().await;
            one_settled_one_lost(&sim, &client, fault, lost_first).await;
            clock.pass(4);
            each_has_its_own(&sim, &client, fault, lost_first).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_a_reconcile_found_is_its_key_s_from_then_on() {
    let (sim, client, clock) = world().await;
    let reconciler = client.reconciler().free_proven_absent();
    for (key, fault, want) in [
        ("a", Fault::ResetAfterActing, (1, 0)),
        ("b", Fault::ResetBeforeActing, (0, 1)),
        ("c", Fault::ResetAfterActing, (1, 0)),
    ] {
        lost(&sim, &client, fault, order(1, key)).await;
        clock.pass(4);
        let report = reconciler.run_once(9).await;
        assert_eq!((report.placed, report.proven_absent), want, "{key}: {report:?}");
    }
    for (key, at) in [("a", 0), ("c", 1)] {
        let placed = client.place(order(1, key)).await.unwrap();
        assert_eq!(placed.reference.unwrap().id.as_str(), &*sim.calls()[at].call_id, "{key}");
    }
}

/// A folder of one test, gone with it.
#[cfg(feature = "sqlite")]
struct Folder(std::path::PathBuf);

#[cfg(feature = "sqlite")]
impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-listed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

#[cfg(feature = "sqlite")]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn whose_a_call_is_is_known_after_a_restart() {
    let folder = Folder::new();
    for (n, fault) in [Fault::ResetAfterActing, Fault::ResetBeforeActing].into_iter().enumerate() {
        for lost_first in [false, true] {
            let file = folder.0.join(format!("{n}-{lost_first}.journal"));
            let (sim, clock) = simulator().await;
            let before = client(&sim, &clock, Journal::sqlite(&file).unwrap());
            one_settled_one_lost(&sim, &before, fault, lost_first).await;
            drop(before);
            clock.pass(4);
            let after = client(&sim, &clock, Journal::sqlite(&file).unwrap());
            each_has_its_own(&sim, &after, fault, lost_first).await;
        }
    }
}

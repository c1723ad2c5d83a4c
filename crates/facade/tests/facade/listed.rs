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
    let clock = Arc::new(Hand::default());
    let builder = Simulator::builder().ignore_idempotency().hide_keys().listing_lag(2 * SECOND);
    let sim = builder.clock(clock.clone()).start().await.unwrap();
    let voice = ClaudeVoice::new(&sim.base_url()).unwrap();
    let mut profile = voice.profile().clone();
    profile.idempotency = Idempotency::No;
    let keys = StaticKeys::new(sim.api_key().into()).unwrap();
    let account = Account::new("main", Keyless(voice, profile), keys).unwrap();
    let account = account.processing_delay(Duration::ZERO).listing_delay(2 * SECOND);
    let journal = Journal::custom(Arc::new(MemoryJournal::new(clock.clone())));
    let client = Client::builder(journal).clock(clock.clone()).account(account).build().unwrap();
    (sim, client, clock)
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
    assert_eq!(report.still_unknown, 1, "keyless neighbours: {report:?}");
    assert!(sim.book().requests >= 130 + 1 + 2, "both pages were read");
}

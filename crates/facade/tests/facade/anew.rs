//! A key that comes free and is claimed anew while a reconcile asks about the claim before.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use trunkline::{Client, Clock, Journal, RetrySettings, SeededEntropy};
use trunkline_core_types::VirtualClock;
use trunkline_journal::MemoryJournal;

use crate::peer::{Does, Peer, account};
use crate::rig::{Delays, Rig, keyed};

const SECOND: Duration = Duration::from_secs(1);
const NONE: &str = r#"{"data":[],"has_more":false,"last_id":null}"#;

#[tokio::test(start_paused = true)]
async fn an_answer_about_the_claim_before_frees_no_key_that_was_claimed_anew() {
    let script = [Does::SaysLate(10 * SECOND, 200, NONE), Does::Closes];
    let delays = Delays { begin: Duration::from_millis(6), ..Delays::default() };
    let rig = Rig::new(script, delays, 0, |account| account);
    let (client, clock) = (&rig.client, VirtualClock::new());
    let order = || keyed("k").timeout(2 * SECOND).retry(RetrySettings::never()).unwrap();
    // Noted, and then nobody polls it any more: a task that starves, a machine that sleeps.
    let mut starved = Box::pin(client.place(order()));
    while rig.journal.begun().is_empty() {
        assert!(starved.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
    }
    clock.sleep_until(clock.now() + 100 * SECOND).await;
    let reconciler = client.reconciler().free_proven_absent();
    let (report, again) = tokio::join!(reconciler.run_once(100), async {
        clock.sleep_until(clock.now() + SECOND).await;
        // Nothing of it had left, so its end frees the key.
        drop(starved);
        client.place(order()).await
    });
    assert!(again.unwrap_err().is_ambiguous(), "rung perhaps");
    assert_eq!((report.findings.len(), report.proven_absent, rig.peer.count()), (1, 0, 2));
    assert!(client.place(order()).await.unwrap_err().is_ambiguous());
    assert_eq!(rig.peer.count(), 2, "nobody is rung again");
    let report = reconciler.run_once(100).await;
    assert_eq!((report.findings.len(), report.waiting), (0, 1), "its own time has not come");
}

#[tokio::test(start_paused = true)]
async fn a_claimer_who_was_away_ends_no_claim_of_another_client() {
    let clock = Arc::new(VirtualClock::new());
    let journal = Journal::custom(Arc::new(MemoryJournal::new(clock.clone())));
    let client = |peer| {
        let client = Client::builder(journal.clone()).clock(clock.clone());
        client.entropy(Arc::new(SeededEntropy::new(1))).account(account(peer)).build().unwrap()
    };
    let order = || keyed("k").timeout(10 * SECOND);
    let peers = [
        Peer::new([Does::Answers(429, "")]),
        Peer::new([Does::Answers(200, NONE), Does::Closes, Does::Closes]),
    ];
    let [first, second] = peers.each_ref().map(client);
    // It waits to repeat what was deferred, and nobody polls it any more.
    let mut away = Box::pin(first.place(order()));
    while peers[0].count() == 0 {
        assert!(away.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
    }
    assert!(away.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.sleep_until(clock.now() + 100 * SECOND).await;
    assert_eq!(second.reconciler().free_proven_absent().run_once(100).await.proven_absent, 1);
    let never = || order().retry(RetrySettings::never()).unwrap();
    assert!(second.place(never()).await.unwrap_err().is_ambiguous(), "rung perhaps");
    drop(away);
    assert!(second.place(never()).await.unwrap_err().is_ambiguous());
    assert_eq!((peers[0].count(), peers[1].count()), (1, 2), "nobody is rung again");
}

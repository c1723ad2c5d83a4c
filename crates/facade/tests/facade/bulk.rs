//! Many calls: pace, intake no faster than the pacer, bounded concurrency, one result for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use trunkline::{Clock, ErrorKind, NewCall, Order};
use trunkline_core_types::VirtualClock;

use crate::peer::{Does, Peer, account, builder, client, per_second};

fn orders(count: usize) -> impl Iterator<Item = Order> {
    (0..count).map(|n| {
        let call = NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap();
        Order::new(call).key(&format!("row-{n}")).unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn every_order_has_one_result_under_its_key() {
    let peer = Peer::new([Does::Answers(400, "{}"), Does::Hangs]);
    let results: Vec<_> = client(&peer).place_all(stream::iter(orders(300))).collect().await;
    let by_key: BTreeMap<_, _> = results.iter().map(|(key, result)| (key.as_str(), result)).collect();
    assert_eq!((results.len(), by_key.len()), (300, 300));
    let kinds = |kind| results.iter().filter(|(_, r)| r.as_ref().is_err_and(|e| e.kind() == kind)).count();
    assert_eq!((kinds(ErrorKind::Rejected), kinds(ErrorKind::Ambiguous)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn starts_keep_the_pace() {
    let peer = Peer::new([]);
    let client = builder().account(account(&peer).pace(per_second(20))).build().unwrap();
    let placed = client
        .place_all(stream::iter(orders(100)))
        .filter(|(_, r)| std::future::ready(r.is_ok()))
        .count()
        .await;
    assert_eq!(placed, 100);
    let starts: Vec<_> = peer.requests.lock().unwrap().iter().map(|(at, _)| *at).collect();
    // The stated bound: burst 1, tolerance 50 ms, interval 50 ms; timers tick at 1 ms.
    for (from, first) in starts.iter().enumerate() {
        for window in [50u64, 100, 500, 1000, 5000] {
            let end = *first + Duration::from_millis(window);
            let count = starts[from..].iter().take_while(|at| **at <= end).count() as u64;
            assert!(count <= 1 + (window + 50) / 50, "{count} starts in {window} ms");
        }
    }
    let whole = *starts.last().unwrap() - starts[0];
    assert!(whole >= Duration::from_millis(99 * 50 - 50), "{whole:?}");
}

#[tokio::test(start_paused = true)]
async fn intake_follows_the_pacer_and_concurrency_is_bounded() {
    let peer = Peer::new((0..1000).map(|_| Does::AnswersLate(Duration::from_secs(4))));
    let slow = account(&peer).pace(per_second(10));
    let client = builder().account(slow).bulk_concurrency(16).build().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let source = stream::iter(orders(1000)).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let clock = VirtualClock::new();
    let started = clock.now();
    let mut results = client.place_all(source);
    for done in 1..=40 {
        let (_, result) = results.next().await.unwrap();
        assert!(result.is_ok(), "{result:?}");
        let (taken, started_calls) = (taken.load(Ordering::Relaxed), peer.count());
        assert!(taken <= started_calls + 8, "{taken} taken, {started_calls} started");
        assert!(taken - (done - 1) <= 16, "{taken} taken, {done} done");
    }
    assert!(clock.now() > started);
    drop(results);
    let drained = client.shutdown(Duration::from_secs(1)).await;
    assert_eq!(drained.under_way, 0, "dropping the stream gave up the rest");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_bulk_has_its_time_from_its_permit() {
    let peer = Peer::new([]);
    let slow = account(&peer).pace(per_second(1));
    let client = builder().account(slow).build().unwrap();
    let hasty = orders(60).map(|order| order.timeout(Duration::from_secs(2)));
    let placed =
        client.place_all(stream::iter(hasty)).filter(|(_, r)| std::future::ready(r.is_ok())).count().await;
    assert_eq!(placed, 60, "waiting a minute for the turn costs nothing of the two seconds");
}

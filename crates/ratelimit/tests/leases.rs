//! Counted leases in virtual time.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use trunkline_core_types::{Clock, DeniedKind, Leases, VirtualClock};
use trunkline_ratelimit::LocalLeases;

const TTL: Duration = Duration::from_secs(60);

fn leases(capacity: u32) -> LocalLeases {
    LocalLeases::new(NonZeroU32::new(capacity).unwrap(), Arc::new(VirtualClock::new()))
}

fn after(time: Duration) -> Instant {
    VirtualClock::new().now() + time
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_counted_once_per_holder_and_renewed_by_taking_it_again() {
    let leases = leases(2);
    for _ in 0..3 {
        leases.take("a", after(TTL), TTL).await.unwrap();
    }
    assert_eq!(leases.held(), 1);
    VirtualClock::new().sleep_until(after(TTL / 2)).await;
    leases.take("a", after(TTL), TTL).await.unwrap();
    VirtualClock::new().sleep_until(after(TTL * 3 / 4)).await;
    assert_eq!(leases.held(), 1);
    VirtualClock::new().sleep_until(after(TTL / 4)).await;
    assert_eq!(leases.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_when_leases_are_released_or_end() {
    let leases = leases(1);
    leases.take("a", after(TTL), TTL).await.unwrap();
    let mut b = leases.take("b", after(3 * TTL), TTL);
    let mut c = leases.take("c", after(3 * TTL), TTL);
    assert!(b.as_mut().now_or_never().is_none());
    assert!(c.as_mut().now_or_never().is_none());
    leases.release("nobody");
    assert!(b.as_mut().now_or_never().is_none());
    leases.release("a");
    assert!(c.as_mut().now_or_never().is_none());
    b.await.unwrap();
    let start = VirtualClock::new().now();
    c.await.unwrap();
    assert_eq!(VirtualClock::new().now() - start, TTL);
    assert_eq!((leases.held(), leases.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn several_that_end_together_let_as_many_in() {
    let leases = leases(3);
    for holder in ["a", "b", "c"] {
        leases.take(holder, after(TTL), TTL).await.unwrap();
    }
    let start = VirtualClock::new().now();
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let leases = leases.clone();
            tokio::spawn(async move {
                leases.take(&i.to_string(), after(10 * TTL), TTL).await.unwrap();
                VirtualClock::new().now() - start
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.push(task.await.unwrap());
    }
    assert_eq!(waits, [TTL, TTL, TTL, 2 * TTL]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_the_next_lease_ends() {
    let leases = leases(1);
    leases.take("a", after(TTL), TTL).await.unwrap();
    let at_once = leases.take("b", after(Duration::ZERO), TTL).now_or_never().unwrap().unwrap_err();
    assert_eq!((at_once.kind, at_once.wait), (DeniedKind::Deadline, Some(TTL)));
    let late = leases.take("b", after(TTL / 3), TTL).await.unwrap_err();
    assert_eq!((late.kind, late.wait), (DeniedKind::Deadline, Some(TTL * 2 / 3)));
    assert_eq!(leases.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded_and_a_dropped_waiter_leaves_it() {
    let leases = LocalLeases::with_queue(NonZeroU32::MIN, 1, Arc::new(VirtualClock::new()));
    leases.take("a", after(TTL), TTL).await.unwrap();
    let mut b = leases.take("b", after(TTL * 2), TTL);
    assert!(b.as_mut().now_or_never().is_none());
    let full = leases.take("c", after(TTL * 2), TTL).await.unwrap_err();
    assert_eq!((full.kind, full.wait), (DeniedKind::Full, Some(TTL)));
    drop(b);
    assert_eq!(leases.waiting(), 0);
    leases.release("a");
    leases.take("c", after(TTL), TTL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_first_after_it_was_woken_wakes_the_next() {
    let leases = leases(1);
    leases.take("a", after(TTL), TTL).await.unwrap();
    let mut b = leases.take("b", after(TTL * 9), TTL);
    assert!(b.as_mut().now_or_never().is_none());
    let behind = {
        let leases = leases.clone();
        tokio::spawn(async move { leases.take("c", after(TTL * 9), TTL).await })
    };
    tokio::task::yield_now().await;
    let start = VirtualClock::new().now();
    leases.release("a");
    drop(b);
    behind.await.unwrap().unwrap();
    assert_eq!(VirtualClock::new().now(), start);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_ends_sooner_lets_the_waiter_in_sooner() {
    let leases = leases(1);
    leases.take("a", after(TTL), TTL).await.unwrap();
    let start = VirtualClock::new().now();
    let behind = {
        let leases = leases.clone();
        tokio::spawn(async move { leases.take("b", after(TTL * 9), TTL).await })
    };
    tokio::task::yield_now().await;
    leases.take("a", after(TTL), TTL / 4).await.unwrap();
    behind.await.unwrap().unwrap();
    assert_eq!(VirtualClock::new().now() - start, TTL / 4);
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_holder() {
    let leases = leases(1);
    leases.take("canary-4711", after(TTL), TTL).await.unwrap();
    let text = format!("{leases:?}");
    assert!(text.contains("held: 1") && !text.contains("canary"), "{text}");
}

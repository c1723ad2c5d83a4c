//! On real threads.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{Ask, Clock, Lane, Pacer, Rate, SystemClock};
use trunkline_ratelimit::{LocalPacer, LocalPacerSettings};

use crate::{slot, some};

/// A real runtime: threads race for the line, real timers are late, and no two slots may be closer than the schedule.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_are_never_granted_closer_than_the_schedule() {
    let clock = SystemClock::new();
    let rate = Rate::per_second(some(2_000));
    let pacer = LocalPacerSettings::new(rate, Arc::new(clock)).build().unwrap();
    let deadline = clock.now() + Duration::from_secs(60);
    let tasks: Vec<_> = (0..600u32)
        .map(|i| {
            let pacer = pacer.clone();
            let lane = Lane::ALL[(i % 2) as usize];
            tokio::spawn(async move {
                let permit = pacer.acquire(Ask { lane, ..Ask::one(deadline) }).await.unwrap();
                let slot = slot(&permit);
                let early = slot > SystemClock::new().now();
                if i.is_multiple_of(7) {
                    permit.give_back();
                    return (None, early);
                }
                (Some(slot), early)
            })
        })
        .collect();
    let mut slots = Vec::new();
    for task in tasks {
        let (slot, early) = task.await.unwrap();
        assert!(!early, "granted before its slot");
        slots.extend(slot);
    }
    slots.sort();
    assert!(slots.len() > 500);
    for pair in slots.windows(2) {
        assert!(pair[1] - pair[0] >= rate.interval(), "{:?} apart", pair[1] - pair[0]);
    }
    assert_eq!((pacer.waiting(), pacer.snapshot().in_flight), (0, 0));
}

#[test]
fn everything_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<LocalPacer>();
    shared::<trunkline_ratelimit::LocalLeases>();
    shared::<LocalPacerSettings>();
    shared::<trunkline_ratelimit::Error>();
}

//! What comes back: pauses, rates, queues; and what the observer hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use trunkline_core_types::{Denied, DeniedKind, Fact, Lane, Observer, Pacer, Rate, Signal};
use trunkline_ratelimit::LocalPacer;

use crate::{LONG, bulk, ms, now, pacer, settings, settle, sleep, slot, some, spawn, urgent};

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everybody_and_refuses_whoever_cannot_wait_that_long() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let start = now();
    let short = spawn(&pacer, urgent(ms(900)));
    let long: Vec<_> = (0..3).map(|_| spawn(&pacer, urgent(ms(2_200)))).collect();
    settle().await;
    sleep(ms(50)).await;
    pacer.feedback(Signal::Throttled { pause: ms(2_000) });
    pacer.feedback(Signal::Throttled { pause: ms(10) });
    assert_eq!(pacer.snapshot().paused, ms(2_000));
    let (at, refused) = short.await.unwrap();
    assert_eq!(at - start, ms(50));
    assert_eq!(refused.unwrap_err(), Denied { kind: DeniedKind::Deadline, wait: Some(ms(2_000)) });
    let mut slots = Vec::new();
    for task in long {
        slots.push(task.await.unwrap().1.map(|permit| slot(&permit) - start).map_err(|denied| denied.wait));
    }
    assert_eq!(slots, [Ok(ms(2_050)), Ok(ms(2_150)), Err(Some(ms(2_200)))]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_refused_and_dropped_before_it_hears_of_it_leaves_nothing_behind() {
    let pacer = settings(10).queue(1).build().unwrap();
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let mut waiter = pacer.acquire(urgent(ms(500)));
    assert!(waiter.as_mut().now_or_never().is_none());
    pacer.feedback(Signal::Throttled { pause: ms(1_000) });
    assert_eq!(pacer.waiting(), 0);
    drop(waiter);
    pacer.acquire(urgent(ms(1_000))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_cut_to_an_hour() {
    let pacer = pacer(10);
    pacer.feedback(Signal::Throttled { pause: Duration::MAX });
    assert_eq!(pacer.snapshot().paused, LocalPacer::MAX_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_changed_rate_counts_for_those_who_wait() {
    let pacer = pacer(1);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let start = now();
    let tasks: Vec<_> = (0..3).map(|_| spawn(&pacer, urgent(ms(10_000)))).collect();
    settle().await;
    sleep(ms(500)).await;
    pacer.set_rate(Rate::per_second(some(10)));
    let mut slots = Vec::new();
    for task in tasks {
        slots.push(slot(&task.await.unwrap().1.unwrap()) - start);
    }
    // Half a slot of debt is left: 50 ms at the new rate.
    assert_eq!(slots, [ms(550), ms(650), ms(750)]);
    assert_eq!(pacer.snapshot().rate, Rate::per_second(some(10)));

    let behind = spawn(&pacer, urgent(ms(1_500)));
    settle().await;
    pacer.set_rate(Rate::new(some(1), Duration::from_secs(60)).unwrap());
    let refused = behind.await.unwrap().1.unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(Duration::from_secs(60))));
}

#[tokio::test(start_paused = true)]
async fn a_far_queue_above_its_bound_slows_everybody_down_and_time_brings_the_pace_back() {
    let pacer = settings(10).queue_bound(ms(2_000)).build().unwrap();
    let rate = || pacer.snapshot().rate.interval();
    pacer.feedback(Signal::Queued { waited: ms(2_000) });
    assert_eq!(rate(), ms(100), "within the bound");
    drop(pacer.acquire(bulk(LONG)).await.unwrap());
    let (one, two) = (spawn(&pacer, bulk(LONG)), spawn(&pacer, bulk(LONG)));
    settle().await;
    let began = now();
    pacer.feedback(Signal::Queued { waited: ms(4_000) });
    pacer.feedback(Signal::Queued { waited: ms(4_000) });
    assert_eq!(rate(), Duration::from_nanos(133_333_334), "two signals of one queue count once");
    let (one, two) = (one.await.unwrap().0, two.await.unwrap().0);
    assert!(one - began >= ms(130) && two - one >= ms(133), "whoever waits is slowed down too");
    sleep(ms(10_000)).await;
    drop(pacer.acquire(bulk(LONG)).await.unwrap());
    assert_eq!(rate(), Duration::from_nanos(117_647_059), "a step of a tenth");
    sleep(ms(60_000)).await;
    drop(pacer.acquire(bulk(LONG)).await.unwrap());
    assert_eq!(rate(), ms(100));

    let unbounded = self::pacer(10);
    unbounded.feedback(Signal::Queued { waited: LONG });
    assert_eq!(unbounded.snapshot().rate.interval(), ms(100));
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Fact>>);

impl Observer for Seen {
    fn saw(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_of_permits_refusals_and_throttles() {
    let seen = Arc::new(Seen::default());
    let pacer = settings(10).observer(seen.clone()).build().unwrap();
    pacer.acquire(urgent(LONG)).await.unwrap();
    pacer.acquire(bulk(LONG)).await.unwrap();
    pacer.acquire(bulk(ms(1))).await.unwrap_err();
    pacer.feedback(Signal::Throttled { pause: ms(7) });
    let expected = [
        Fact::Permitted { lane: Lane::Interactive, waited: ms(0) },
        Fact::Permitted { lane: Lane::Bulk, waited: ms(100) },
        Fact::Denied { lane: Lane::Bulk, kind: DeniedKind::Deadline },
        Fact::Throttled { pause: ms(7) },
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

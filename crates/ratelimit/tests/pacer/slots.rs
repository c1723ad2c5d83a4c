//! When slots come, and what they cost.

use std::time::Duration;

use futures_util::FutureExt;
use trunkline_core_types::{Ask, DeniedKind, Pacer, Signal};

use crate::{LONG, bulk, ms, now, pacer, settings, settle, sleep, slot, some, spawn, urgent};

#[tokio::test(start_paused = true)]
async fn permits_come_one_interval_apart_and_in_order() {
    let pacer = pacer(10);
    let start = now();
    let mut tasks = Vec::new();
    for _ in 0..30 {
        tasks.push(spawn(&pacer, bulk(LONG)));
        settle().await;
    }
    for (i, task) in (0..).zip(tasks) {
        let (at, permit) = task.await.unwrap();
        assert_eq!(at - start, ms(100 * i));
        assert_eq!(slot(&permit.unwrap()) - start, ms(100 * i));
    }
    assert_eq!((pacer.waiting(), pacer.snapshot().in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn slots_never_run_backwards() {
    let pacer = settings(10).burst(some(3)).build().unwrap();
    pacer.feedback(Signal::Throttled { pause: ms(100) });
    let mut early = pacer.acquire(bulk(LONG));
    assert!(early.as_mut().now_or_never().is_none());
    sleep(ms(120)).await;
    let first = slot(&pacer.acquire(urgent(LONG)).now_or_never().unwrap().unwrap());
    let second = slot(&early.now_or_never().unwrap().unwrap());
    assert!(second >= first, "{:?} back", first - second);
}

#[tokio::test(start_paused = true)]
async fn idle_time_is_not_caught_up_beyond_the_burst() {
    let pacer = settings(10).burst(some(3)).build().unwrap();
    sleep(LONG).await;
    let start = now();
    let mut at = Vec::new();
    for _ in 0..5 {
        at.push(slot(&pacer.acquire(urgent(LONG)).await.unwrap()) - start);
    }
    assert_eq!(at, [ms(0), ms(0), ms(0), ms(100), ms(200)]);
}

#[tokio::test(start_paused = true)]
async fn a_late_timer_is_caught_up_for_half_a_tolerance_only() {
    let pacer = pacer(100);
    let start = now();
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    // Polled by hand: nobody looks before 95 ms are over, 85 after the slot.
    let mut waits: Vec<_> = (0..4).map(|_| pacer.acquire(urgent(LONG))).collect();
    assert!(waits.iter_mut().all(|wait| wait.as_mut().now_or_never().is_none()));
    sleep(ms(95)).await;
    let mut slots = Vec::new();
    for wait in &mut waits {
        slots.extend(wait.as_mut().now_or_never().map(|permit| slot(&permit.unwrap()) - start));
    }
    assert_eq!(slots, [ms(70), ms(80), ms(90)]);
}

#[tokio::test(start_paused = true)]
async fn who_gives_back_frees_the_slot_unless_a_later_one_was_taken() {
    let pacer = settings(10).burst(some(2)).build().unwrap();
    let first = pacer.acquire(urgent(LONG)).await.unwrap();
    let second = pacer.acquire(urgent(LONG)).await.unwrap();
    let start = now();
    let waiter = spawn(&pacer, urgent(LONG));
    settle().await;
    sleep(ms(20)).await;
    first.give_back();
    second.give_back();
    assert_eq!(waiter.await.unwrap().0 - start, ms(20));
    // The first one's slot is lost, the second's was used again.
    let next = pacer.acquire(urgent(LONG)).await.unwrap();
    assert_eq!(slot(&next) - start, ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_is_refused_for_ever_and_a_cost_within_it_waits_for_its_cells() {
    let pacer = settings(10).burst(some(3)).build().unwrap();
    let costly = |cost| Ask { cost: some(cost), ..urgent(LONG) };
    let never = pacer.acquire(costly(4)).await.unwrap_err();
    assert_eq!((never.kind, never.wait), (DeniedKind::Never, None));
    let start = now();
    pacer.acquire(costly(2)).await.unwrap();
    let permit = pacer.acquire(costly(3)).await.unwrap();
    assert_eq!(slot(&permit) - start, ms(200));
}

#[tokio::test(start_paused = true)]
async fn a_tolerance_out_of_range_is_refused() {
    for bad in [Duration::ZERO, Duration::from_secs(11)] {
        let error = settings(1).tolerance(bad).build().unwrap_err();
        assert!(error.to_string().starts_with("tolerance: "), "{error}");
    }
}

//! The line of waiters: order, deadlines, those who leave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use trunkline_core_types::{Denied, DeniedKind, Pacer};

use crate::{LONG, bulk, ms, now, pacer, settings, settle, sleep, slot, some, spawn, urgent};

#[tokio::test(start_paused = true)]
async fn interactive_goes_first_and_each_lane_keeps_its_order() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (name, ask) in [
        ("bulk 1", bulk(LONG)),
        ("bulk 2", bulk(LONG)),
        ("urgent 1", urgent(LONG)),
        ("bulk 3", bulk(LONG)),
        ("urgent 2", urgent(LONG)),
    ] {
        let (pacer, order) = (pacer.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let _permit = pacer.acquire(ask).await.unwrap();
            order.lock().unwrap().push(name);
        }));
        settle().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["urgent 1", "urgent 2", "bulk 1", "bulk 2", "bulk 3"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_come_at_once_with_the_wait_of_that_place_in_the_line() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    sleep(ms(30)).await;
    let refused = pacer.acquire(urgent(ms(69))).now_or_never().unwrap().unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(ms(70))));
    let first = spawn(&pacer, urgent(LONG));
    let second = spawn(&pacer, bulk(LONG));
    settle().await;
    let refused = pacer.acquire(urgent(ms(169))).now_or_never().unwrap().unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(ms(170))));
    let refused = pacer.acquire(bulk(ms(269))).now_or_never().unwrap().unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(ms(270))));
    let exactly = spawn(&pacer, bulk(ms(270)));
    for task in [first, second, exactly] {
        task.await.unwrap().1.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_need_not_wait_is_answered_at_once_and_overtakes_nobody() {
    let pacer = pacer(10);
    let permit = pacer.acquire_at_once(urgent(LONG)).unwrap().unwrap();
    assert_eq!((slot(&permit), permit.granted()), (now(), Some(now())));
    assert!(pacer.acquire_at_once(urgent(LONG)).is_none() && pacer.waiting() == 0);
    let refused = pacer.acquire_at_once(urgent(ms(99))).unwrap().unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(ms(100))));
    drop(permit);
    let mut first = pacer.acquire(bulk(LONG));
    assert!(first.as_mut().now_or_never().is_none());
    sleep(ms(100)).await;
    // The slot is there, and so is somebody who waits for it.
    assert!(pacer.acquire_at_once(bulk(LONG)).is_none());
    let permit = first.await.unwrap();
    assert_eq!((slot(&permit), permit.granted()), (now(), Some(now())));
    assert_eq!(pacer.snapshot().permitted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_refused_even_if_the_slot_is_free() {
    let pacer = pacer(10);
    let passed = urgent(ms(1));
    sleep(ms(5)).await;
    let refused = pacer.acquire(passed).await.unwrap_err();
    assert_eq!((refused.kind, refused.wait), (DeniedKind::Deadline, Some(ms(100))));
    pacer.acquire(urgent(ms(0))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bulk_pushed_back_by_urgent_requests_ends_at_its_deadline() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let start = now();
    let pushed = [spawn(&pacer, bulk(ms(150))), spawn(&pacer, bulk(ms(250)))];
    settle().await;
    let urgent: Vec<_> = (0..4).map(|_| spawn(&pacer, urgent(LONG))).collect();
    for (task, deadline) in pushed.into_iter().zip([150, 250]) {
        let (at, answer) = task.await.unwrap();
        assert!(at - start <= ms(deadline), "answered {:?} after the start", at - start);
        let refused = answer.unwrap_err();
        assert_eq!(refused.kind, DeniedKind::Deadline);
        assert!(refused.wait.unwrap() > Duration::ZERO);
    }
    for task in urgent {
        task.await.unwrap().1.unwrap();
    }
    assert_eq!(pacer.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_waiters_leave_no_hole_wherever_they_stand() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let start = now();
    for dropped in 0..3usize {
        let tasks: Vec<_> = (0..3).map(|_| spawn(&pacer, bulk(LONG))).collect();
        settle().await;
        assert_eq!(pacer.waiting(), 3);
        tasks[dropped].abort();
        settle().await;
        assert_eq!(pacer.waiting(), 2);
        let mut slots = Vec::new();
        for task in tasks {
            if let Ok((_, permit)) = task.await {
                slots.push(slot(&permit.unwrap()) - start);
            }
        }
        let base = 200 * dropped as u64;
        assert_eq!(slots, [ms(base + 100), ms(base + 200)], "dropped {dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_it_was_called_passes_the_call_on() {
    let pacer = pacer(10);
    let permit = pacer.acquire(urgent(LONG)).await.unwrap();
    let mut first = pacer.acquire(urgent(LONG));
    assert!(first.as_mut().now_or_never().is_none());
    let second = spawn(&pacer, urgent(LONG));
    settle().await;
    let start = now();
    permit.give_back();
    drop(first);
    assert_eq!(second.await.unwrap().0, start);
}

#[tokio::test(start_paused = true)]
async fn one_whose_future_is_not_polled_does_not_hold_up_the_others() {
    let pacer = pacer(10);
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let mut held = pacer.acquire(urgent(LONG));
    assert!(held.as_mut().now_or_never().is_none());
    let others: Vec<_> = (0..3).map(|_| spawn(&pacer, urgent(LONG))).collect();
    settle().await;
    sleep(ms(200)).await;
    // The arrival notices that the first, due at 100 ms, does not come.
    let last = spawn(&pacer, urgent(LONG));
    let start = now();
    for (i, task) in (0..).zip(others.into_iter().chain([last])) {
        assert_eq!(task.await.unwrap().0 - start, ms(100 * i));
    }
    assert_eq!(pacer.waiting(), 1);
    // It comes back to its place, before those who came later.
    let later = spawn(&pacer, urgent(LONG));
    settle().await;
    held.await.unwrap();
    assert_eq!(now() - start, ms(400));
    later.await.unwrap().1.unwrap();
    assert_eq!((now() - start, pacer.waiting()), (ms(500), 0));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_wait_in_order_and_the_next_is_told_that_the_line_is_full() {
    let pacer = settings(5_000).queue(10_000).build().unwrap();
    drop(pacer.acquire(urgent(LONG)).await.unwrap());
    let start = now();
    let tasks: Vec<_> = (0..10_000).map(|_| spawn(&pacer, bulk(LONG))).collect();
    while pacer.waiting() < tasks.len() {
        tokio::task::yield_now().await;
    }
    assert_eq!(now(), start);
    let full = pacer.acquire(bulk(LONG)).await.unwrap_err();
    assert_eq!((full.kind, full.wait), (DeniedKind::Full, Some(Duration::from_micros(200))));
    // The other lane has its own bound, and goes first.
    let urgent = spawn(&pacer, urgent(LONG));
    let mut slots = Vec::new();
    for task in tasks {
        slots.push(slot(&task.await.unwrap().1.unwrap()));
    }
    assert_eq!(slot(&urgent.await.unwrap().1.unwrap()) - start, Duration::from_micros(200));
    for (i, slot) in (2..).zip(&slots) {
        assert_eq!(*slot - start, Duration::from_micros(200) * i, "waiter {i}");
    }
    assert_eq!((pacer.waiting(), pacer.snapshot().permitted), (0, 10_002));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_wait_and_refuses_whoever_comes() {
    let pacer = settings(1).in_flight_max(some(1)).build().unwrap();
    let permit = pacer.acquire(urgent(LONG)).await.unwrap();
    let tasks = [spawn(&pacer, urgent(LONG)), spawn(&pacer, bulk(LONG)), spawn(&pacer, bulk(LONG))];
    settle().await;
    let start = now();
    pacer.close();
    assert_eq!(pacer.waiting(), 0);
    for task in tasks {
        let (at, answer) = task.await.unwrap();
        assert_eq!((at, answer.unwrap_err()), (start, Denied { kind: DeniedKind::Closed, wait: None }));
    }
    assert_eq!(pacer.acquire(urgent(LONG)).await.unwrap_err().kind, DeniedKind::Closed);
    permit.give_back();
    assert_eq!((pacer.snapshot().in_flight, pacer.snapshot().closed), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_full_flight_holds_the_line_and_an_ended_permit_moves_it_on() {
    let pacer = settings(1_000).in_flight_max(some(2)).build().unwrap();
    let start = now();
    let first = pacer.acquire(urgent(LONG)).await.unwrap();
    let _second = pacer.acquire(urgent(LONG)).await.unwrap();
    let waiter = spawn(&pacer, urgent(LONG));
    let impatient = pacer.acquire(urgent(ms(50))).await.unwrap_err();
    assert_eq!(impatient.kind, DeniedKind::Deadline);
    assert!(impatient.wait.unwrap() >= ms(1));
    sleep(ms(49)).await;
    drop(first);
    let (at, permit) = waiter.await.unwrap();
    // The slot is the moment the place came free: what passed while it was full is not caught up.
    assert_eq!((at - start, slot(&permit.unwrap()) - start), (ms(100), ms(100)));
    sleep(ms(1)).await;
    assert_eq!(pacer.snapshot().in_flight, 1);
}

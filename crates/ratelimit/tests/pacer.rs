//! The local pacer in virtual time, and on many threads.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use trunkline_core_types::{
    Ask, Clock, Denied, DeniedKind, Fact, Lane, Observer, Pacer, Permit, Rate, Signal, SystemClock,
    VirtualClock,
};
use trunkline_ratelimit::{LocalPacer, LocalPacerSettings};

const TOLERANCE: Duration = LocalPacerSettings::TOLERANCE;
const LONG: Duration = Duration::from_secs(3_600);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn settings(per_second: u32) -> LocalPacerSettings {
    LocalPacerSettings::new(Rate::per_second(some(per_second)), Arc::new(VirtualClock::new()))
}

fn pacer(per_second: u32) -> LocalPacer {
    settings(per_second).build().unwrap()
}

fn now() -> Instant {
    VirtualClock::new().now()
}

async fn sleep(time: Duration) {
    VirtualClock::new().sleep_until(now() + time).await;
}

fn bulk(time: Duration) -> Ask {
    Ask { lane: Lane::Bulk, ..urgent(time) }
}

fn urgent(time: Duration) -> Ask {
    Ask::one(now() + time)
}

fn slot(permit: &Permit) -> Instant {
    permit.start_by() - TOLERANCE
}

/// A task that waits, with the time it was answered.
fn spawn(pacer: &LocalPacer, ask: Ask) -> JoinHandle<(Instant, Result<Permit, Denied>)> {
    let pacer = pacer.clone();
    tokio::spawn(async move {
        let answer = pacer.acquire(ask).await;
        (now(), answer)
    })
}

/// Lets every woken task run, without time passing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

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

#[tokio::test(start_paused = true)]
async fn a_tolerance_out_of_range_is_refused() {
    for bad in [Duration::ZERO, Duration::from_secs(11)] {
        let error = settings(1).tolerance(bad).build().unwrap_err();
        assert!(error.to_string().starts_with("tolerance: "), "{error}");
    }
}

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

//! The pacer under every interleaving of its lock: nobody is forgotten in line, no permit is doubled or lost.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use trunkline_core_types::{Ask, BoxFuture, Denied, DeniedKind, Fact, Observer, Pacer, Permit, Rate, Signal};

use crate::model::{ModelClock, explore, glance};
use crate::{LocalPacer, LocalPacerSettings};

const SECOND: Duration = Duration::from_secs(1);
const FAR: Duration = Duration::from_secs(1_000);

/// One cell a second.
fn pacer(burst: u32, in_flight: u32) -> (Arc<ModelClock>, LocalPacer) {
    let clock = ModelClock::new();
    let positive = |number| NonZeroU32::new(number).unwrap();
    let settings = LocalPacerSettings::new(Rate::per_second(NonZeroU32::MIN), clock.clone());
    let pacer = settings.burst(positive(burst)).in_flight_max(positive(in_flight)).build().unwrap();
    (clock, pacer)
}

fn permit(clock: &ModelClock, pacer: &LocalPacer) -> Permit {
    block_on(pacer.acquire(Ask::one(clock.after(FAR)))).unwrap()
}

/// Stands in line behind whoever holds a permit.
fn in_line<'a>(clock: &ModelClock, pacer: &'a LocalPacer) -> BoxFuture<'a, Result<Permit, Denied>> {
    let mut waiting = pacer.acquire(Ask::one(clock.after(FAR)));
    assert!(glance(&mut waiting).is_pending());
    waiting
}

/// Stands in line and gives up, wherever it is by then: in line, called, or with a permit that then goes back.
fn come_and_go(clock: &ModelClock, pacer: &LocalPacer) {
    let mut waiting = pacer.acquire(Ask::one(clock.after(FAR)));
    if let Poll::Ready(Ok(held)) = glance(&mut waiting) {
        held.give_back();
    }
}

fn assert_nothing_is_out(pacer: &LocalPacer, permitted: std::ops::RangeInclusive<u64>) {
    let left = pacer.snapshot();
    assert_eq!((left.in_flight, left.interactive, left.bulk), (0, 0, 0));
    assert!(permitted.contains(&left.permitted), "{left:?}");
}

#[test]
fn a_permit_that_ends_lets_the_next_one_go() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let held = permit(&clock, &pacer);
        let ending = thread::spawn(move || held.spend());
        permit(&clock, &pacer).spend();
        ending.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=2);
    });
}

#[test]
fn who_comes_for_an_answer_at_once_overtakes_nobody() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let held = permit(&clock, &pacer);
        let waiting = in_line(&clock, &pacer);
        let ending = thread::spawn(move || held.spend());
        assert!(pacer.acquire_at_once(Ask::one(clock.after(FAR))).is_none());
        block_on(waiting).unwrap().spend();
        ending.join().unwrap();
        pacer.acquire_at_once(Ask::one(clock.after(FAR))).unwrap().unwrap().spend();
        assert_nothing_is_out(&pacer, 3..=3);
    });
}

#[test]
fn a_waiter_is_called_where_it_was_last_polled() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let held = permit(&clock, &pacer);
        let waiting = in_line(&clock, &pacer);
        let ending = thread::spawn(move || held.spend());
        // Its first waker wakes nobody.
        block_on(waiting).unwrap().spend();
        ending.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=2);
    });
}

#[test]
fn one_who_gives_up_while_called_passes_the_call_on() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let held = permit(&clock, &pacer);
        let (their_clock, theirs) = (clock.clone(), pacer.clone());
        let leaving = thread::spawn(move || come_and_go(&their_clock, &theirs));
        let ending = thread::spawn(move || held.spend());
        permit(&clock, &pacer).spend();
        ending.join().unwrap();
        leaving.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=3);
    });
}

#[test]
fn the_next_in_line_takes_over_the_timer_of_one_who_gives_up() {
    explore(|| {
        let (clock, pacer) = pacer(1, 3);
        permit(&clock, &pacer).spend();
        let (their_clock, theirs) = (clock.clone(), pacer.clone());
        let leaving = thread::spawn(move || come_and_go(&their_clock, &theirs));
        let time = clock.clone();
        let moving = thread::spawn(move || time.move_to(2 * SECOND));
        permit(&clock, &pacer).spend();
        moving.join().unwrap();
        leaving.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=3);
    });
}

#[test]
fn no_more_permits_are_out_than_may_be_and_all_come_back() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let out = Arc::new(AtomicU32::new(0));
        let (other_clock, other, others) = (clock.clone(), pacer.clone(), out.clone());
        let take = |clock: &ModelClock, pacer: &LocalPacer, out: &AtomicU32| {
            let held = permit(clock, pacer);
            assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "two permits are out");
            thread::yield_now();
            out.fetch_sub(1, Ordering::SeqCst);
            held.give_back();
        };
        let taking = thread::spawn(move || take(&other_clock, &other, &others));
        take(&clock, &pacer, &out);
        taking.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=2);
    });
}

#[test]
fn a_slot_given_back_serves_whoever_waits_for_the_next_one() {
    explore(|| {
        // The clock stands: without the cell that comes back there is none before the next second.
        let (clock, pacer) = pacer(1, 3);
        let held = permit(&clock, &pacer);
        let ending = thread::spawn(move || held.give_back());
        permit(&clock, &pacer).spend();
        ending.join().unwrap();
        assert_nothing_is_out(&pacer, 2..=2);
    });
}

#[test]
fn no_permit_is_granted_once_a_pause_is_set() {
    explore(|| {
        let (clock, pacer) = pacer(1, 3);
        permit(&clock, &pacer).spend();
        let paused = Arc::new(AtomicBool::new(false));
        let (throttled, says) = (pacer.clone(), paused.clone());
        let pausing = thread::spawn(move || {
            throttled.feedback(Signal::Throttled { pause: 10 * SECOND });
            says.store(true, Ordering::SeqCst);
        });
        let time = clock.clone();
        let moving = thread::spawn(move || time.move_to(SECOND));
        let mut waiting = pacer.acquire(Ask::one(clock.after(5 * SECOND)));
        let ended = block_on(std::future::poll_fn(|cx: &mut Context<'_>| {
            let held_back = paused.load(Ordering::SeqCst);
            let polled = waiting.as_mut().poll(cx);
            if let Poll::Ready(Ok(_)) = &polled {
                assert!(!held_back, "granted in a pause");
            }
            polled
        }));
        if let Err(denied) = &ended {
            assert_eq!(denied.kind, DeniedKind::Deadline);
        }
        drop(ended);
        drop(waiting);
        pausing.join().unwrap();
        moving.join().unwrap();
        assert_nothing_is_out(&pacer, 1..=2);
    });
}

#[test]
fn closing_ends_every_wait() {
    explore(|| {
        let (clock, pacer) = pacer(3, 1);
        let held = permit(&clock, &pacer);
        let closing = pacer.clone();
        let closing = thread::spawn(move || closing.close());
        let denied = block_on(pacer.acquire(Ask::one(clock.after(FAR)))).unwrap_err();
        assert_eq!(denied.kind, DeniedKind::Closed);
        closing.join().unwrap();
        held.spend();
        assert_nothing_is_out(&pacer, 1..=1);
    });
}

/// The share of the pace that was heard of last.
#[derive(Debug, Default)]
struct Share(Mutex<Option<u32>>);

impl Observer for Share {
    fn saw(&self, fact: Fact) {
        if let Fact::PaceShare { percent } = fact {
            *self.0.lock().unwrap() = Some(percent);
        }
    }
}

#[test]
fn the_share_that_is_heard_of_last_is_the_present_one() {
    explore(|| {
        let (clock, share) = (ModelClock::new(), Arc::new(Share::default()));
        let settings = LocalPacerSettings::new(Rate::per_second(NonZeroU32::MIN), clock.clone());
        let pacer = settings.queue_bound(SECOND).observer(share.clone()).build().unwrap();
        pacer.feedback(Signal::Queued { waited: 2 * SECOND });
        clock.move_to(10 * SECOND);
        let (deadline, other) = (clock.after(FAR), pacer.clone());
        // A step back up, and a step down.
        let asking = thread::spawn(move || drop(other.acquire_at_once(Ask::one(deadline))));
        pacer.feedback(Signal::Queued { waited: 2 * SECOND });
        asking.join().unwrap();
        let used = SECOND.as_nanos() * 100 / pacer.snapshot().rate.period().as_nanos();
        let heard = u128::from(share.0.lock().unwrap().unwrap());
        assert!(heard.abs_diff(used) <= 1, "{heard} percent was heard of, {used} are used");
    });
}

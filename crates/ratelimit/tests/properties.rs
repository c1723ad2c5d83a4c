//! Random sequences of everything that can happen to a pacer keep the stated bound and leave nothing behind.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::task::JoinHandle;
use trunkline_core_types::{Ask, Clock, Lane, Pacer, Permit, Rate, Signal, VirtualClock};
use trunkline_ratelimit::{LocalPacer, LocalPacerSettings};

/// What the holder of a permit does with it, `after` a time.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Starts if it is not too late, and keeps the permit for a time as a request in flight.
    Start {
        keep: u64,
    },
    GiveBack,
    Drop,
}

#[derive(Debug, Clone)]
enum Operation {
    Acquire { lane: Lane, cost: u32, patience: u64, after: u64, fate: Fate },
    Abort(prop::sample::Index),
    Pause(u64),
    Rate(u32),
    Sleep(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let fate = prop_oneof![
        4 => (0u64..80).prop_map(|keep| Fate::Start { keep }),
        1 => Just(Fate::GiveBack),
        1 => Just(Fate::Drop),
    ];
    let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Bulk)];
    let patience = prop_oneof![0u64..500, Just(3_600_000)];
    let acquire =
        (lane, 1u32..4, patience, 0u64..90, fate).prop_map(|(lane, cost, patience, after, fate)| {
            Operation::Acquire { lane, cost, patience, after, fate }
        });
    prop_oneof![
        8 => acquire,
        1 => any::<prop::sample::Index>().prop_map(Operation::Abort),
        1 => (0u64..700).prop_map(Operation::Pause),
        1 => (5u32..200).prop_map(Operation::Rate),
        4 => (0u64..120).prop_map(Operation::Sleep),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    rate: u32,
    burst: u32,
    tolerance: u64,
    in_flight: u32,
}

/// What was seen, in the order in which it happened.
#[derive(Debug, Default)]
struct Seen {
    starts: Vec<(Instant, u32)>,
    granted: Vec<(Lane, usize)>,
    pauses: Vec<(Instant, Instant)>,
    fastest: u32,
}

fn now() -> Instant {
    VirtualClock::new().now()
}

async fn sleep(millis: u64) {
    VirtualClock::new().sleep_until(now() + Duration::from_millis(millis)).await;
}

async fn live(permit: Permit, cost: u32, after: u64, fate: Fate, seen: Arc<Mutex<Seen>>) {
    sleep(after).await;
    match fate {
        Fate::Drop => drop(permit),
        Fate::Start { keep } if now() <= permit.start_by() => {
            seen.lock().unwrap().starts.push((now(), cost));
            sleep(keep).await;
            permit.spend();
        }
        Fate::Start { .. } | Fate::GiveBack => permit.give_back(),
    }
}

fn acquire(
    pacer: &LocalPacer,
    number: usize,
    ask: Ask,
    after: u64,
    fate: Fate,
    seen: &Arc<Mutex<Seen>>,
) -> JoinHandle<bool> {
    let (pacer, seen) = (pacer.clone(), Arc::clone(seen));
    tokio::spawn(async move {
        let at_once = if number.is_multiple_of(2) { pacer.acquire_at_once(ask) } else { None };
        let Ok(permit) = (match at_once {
            Some(answer) => answer,
            None => pacer.acquire(ask).await,
        }) else {
            return false;
        };
        assert!(now() <= ask.deadline, "granted after the deadline");
        assert!(now() <= permit.start_by(), "granted too late to start");
        seen.lock().unwrap().granted.push((ask.lane, number));
        live(permit, ask.cost.get(), after, fate, seen).await;
        true
    })
}

/// Runs everything, waits until all is over and checks that nothing is left.
async fn run(plan: Plan, operations: Vec<Operation>) -> Seen {
    let rate = |count| Rate::per_second(NonZeroU32::new(count).unwrap());
    let pacer = LocalPacerSettings::new(rate(plan.rate), Arc::new(VirtualClock::new()))
        .burst(NonZeroU32::new(plan.burst).unwrap())
        .tolerance(Duration::from_millis(plan.tolerance))
        .in_flight_max(NonZeroU32::new(plan.in_flight).unwrap())
        .build()
        .unwrap();
    let seen = Arc::new(Mutex::new(Seen { fastest: plan.rate, ..Seen::default() }));
    let mut tasks: Vec<(bool, JoinHandle<bool>)> = Vec::new();
    for operation in operations {
        match operation {
            Operation::Acquire { lane, cost, patience, after, fate } => {
                let cost = NonZeroU32::new(cost.min(plan.burst)).unwrap();
                let ask = Ask { cost, lane, deadline: now() + Duration::from_millis(patience) };
                let task = acquire(&pacer, tasks.len(), ask, after, fate, &seen);
                tasks.push((patience > 500, task));
                tokio::task::yield_now().await;
            }
            Operation::Abort(index) if !tasks.is_empty() => {
                let task = index.index(tasks.len());
                tasks[task].1.abort();
            }
            Operation::Abort(_) => {}
            Operation::Pause(millis) => {
                pacer.feedback(Signal::Throttled { pause: Duration::from_millis(millis) });
                seen.lock().unwrap().pauses.push((now(), now() + Duration::from_millis(millis)));
            }
            Operation::Rate(count) => {
                pacer.set_rate(rate(count));
                let mut seen = seen.lock().unwrap();
                seen.fastest = seen.fastest.max(count);
            }
            Operation::Sleep(millis) => sleep(millis).await,
        }
    }
    for (patient, task) in tasks {
        match task.await {
            Ok(granted) => assert!(granted || !patient, "a patient one was refused"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    let snapshot = pacer.snapshot();
    assert_eq!((pacer.waiting(), snapshot.in_flight), (0, 0), "something is left behind");
    drop(pacer);
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

fn check(plan: Plan, seen: &Seen) -> Result<(), TestCaseError> {
    let tolerance = Duration::from_millis(plan.tolerance);
    let interval = Rate::per_second(NonZeroU32::new(seen.fastest).unwrap()).interval();
    for (i, (from, _)) in seen.starts.iter().enumerate() {
        let mut cells = 0;
        for (to, cost) in &seen.starts[i..] {
            cells += u128::from(*cost);
            let window = (*to - *from) + tolerance;
            let bound = u128::from(plan.burst) + window.as_nanos() / interval.as_nanos();
            prop_assert!(cells <= bound, "{} cells in {:?}, bound {}", cells, *to - *from, bound);
        }
    }
    for (from, until) in &seen.pauses {
        for (start, _) in &seen.starts {
            prop_assert!(*start <= *from + tolerance || *start >= *until, "a start in a pause");
        }
    }
    for lane in Lane::ALL {
        let order: Vec<_> = seen.granted.iter().filter(|(of, _)| *of == lane).map(|(_, n)| *n).collect();
        prop_assert!(order.is_sorted(), "{} overtook: {:?}", lane.as_str(), order);
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_bound_holds_and_nothing_is_left_behind(
        rate in 5u32..200,
        burst in 1u32..5,
        tolerance in 2u64..80,
        in_flight in prop_oneof![1u32..4, Just(1_000)],
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let plan = Plan { rate, burst, tolerance, in_flight };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let seen = runtime.block_on(run(plan, operations));
        check(plan, &seen)?;
    }
}

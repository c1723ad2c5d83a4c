//! A slow journal and a slow signer: the pace holds where the first byte leaves, no call loops, and no call outlives its deadline.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::prelude::*;
use trunkline::{Class, Clock, ErrorKind};
use trunkline_core_types::VirtualClock;

use crate::peer::{Does, per_second};
use crate::rig::{Delays, Rig, keyed};

const TOLERANCE: Duration = Duration::from_millis(50);
/// Tries of the default settings, and attempts that each can cost: two late permits are free, the third counts.
const MOST_ATTEMPTS: u32 = 3 * 3;

/// At most `B + floor((W + tolerance) / T)` starts in every closed window, with `B` = 1.
fn assert_pace(starts: &[Instant], interval: Duration) {
    for (first, from) in starts.iter().enumerate() {
        for (last, to) in starts.iter().enumerate().skip(first) {
            let window = to.saturating_duration_since(*from) + TOLERANCE;
            let allowed = 1 + window.as_nanos() / interval.as_nanos();
            let seen = (last - first + 1) as u128;
            assert!(seen <= allowed, "{seen} starts in {window:?}, {allowed} allowed: {starts:?}");
        }
    }
}

fn rig(script: Vec<Does>, delays: Delays, pace: u32) -> Rig {
    let in_flight = NonZeroU32::new(64).unwrap();
    Rig::new(script, delays, 0, |account| {
        account.pace(per_second(pace)).tolerance(TOLERANCE).in_flight(in_flight)
    })
}

async fn twelve_calls(delays: Delays) -> (Rig, Vec<Result<(), ErrorKind>>) {
    let rig = rig(Vec::new(), delays, 20);
    let calls = (0..12).map(|n| rig.client.place(keyed(&format!("k{n}"))));
    let ends =
        join_all(calls).await.into_iter().map(|end| end.map(|_| ()).map_err(|error| error.kind())).collect();
    assert_pace(&rig.record.starts(), Duration::from_millis(50));
    (rig, ends)
}

fn slow_journal(millis: u64) -> Delays {
    let time = Duration::from_millis(millis);
    Delays { begin: time, ..Delays::default() }
}

fn slow_signer(millis: u64) -> Delays {
    Delays { sign: Duration::from_millis(millis), ..Delays::default() }
}

#[tokio::test(start_paused = true)]
async fn within_the_tolerance_every_call_is_placed_at_the_pace() {
    for delays in [slow_journal(5), slow_signer(5)] {
        let (rig, ends) = twelve_calls(delays).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        assert_eq!((rig.peer.count(), rig.journal.begun()), (12, vec![1; 12]));
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_it_every_permit_is_refused_late_and_no_call_loops() {
    for delays in [slow_journal(60), slow_signer(60), slow_journal(1_000), slow_signer(1_000)] {
        let (rig, ends) = twelve_calls(delays).await;
        assert!(ends.iter().all(|end| *end == Err(ErrorKind::Unsent)), "{ends:?}");
        assert_eq!((rig.peer.count(), rig.record.starts().len()), (0, 0));
        let begun = rig.journal.begun();
        assert!(begun.iter().all(|attempts| *attempts <= MOST_ATTEMPTS), "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_third_late_permit_in_a_row_uses_a_try() {
    for delays in [slow_journal(60), slow_signer(60)] {
        let rig = rig(Vec::new(), delays, 20);
        let error = rig.client.place(keyed("k")).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.tries()), (ErrorKind::Unsent, Class::Unsent, 3));
        assert_eq!(rig.journal.begun(), [MOST_ATTEMPTS]);
        assert!(
            rig.client.place(keyed("k")).await.is_err_and(|error| error.kind() == ErrorKind::Unsent),
            "free again"
        );
    }
}

fn delay() -> impl Strategy<Value = Duration> {
    let millis = prop_oneof![4 => Just(0), 2 => Just(5), 1 => Just(60), 1 => Just(1_000), 1 => 0u64..5_000];
    millis.prop_map(Duration::from_millis)
}

fn delays() -> impl Strategy<Value = Delays> {
    (delay(), delay(), delay(), delay()).prop_map(|(claim, begin, sign, connect)| Delays {
        claim,
        begin,
        sign,
        connect,
    })
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        Just(Does::Answers(201, "")),
        Just(Does::Answers(429, "{}")),
        Just(Does::Answers(503, "{}")),
        (0u64..15_000).prop_map(|millis| Does::AnswersLate(Duration::from_millis(millis))),
        Just(Does::Closes),
        Just(Does::Hangs),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_outlives_its_deadline_and_the_pace_holds(
        script in prop::collection::vec(does(), 0..8),
        delays in delays(),
        micros in prop::collection::vec(1_000u64..20_000_000, 1..5),
        pace in 1u32..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let rig = rig(script, delays, pace);
            let clock = VirtualClock::new();
            let started = clock.now();
            let calls = micros.iter().enumerate().map(|(n, micros)| {
                let timeout = Duration::from_micros(*micros);
                let place = rig.client.place(keyed(&format!("k{n}")).timeout(timeout));
                async move {
                    let _ = place.await;
                    (VirtualClock::new().now() - started, timeout)
                }
            });
            for (took, timeout) in join_all(calls).await {
                assert!(took <= timeout + Duration::from_millis(1), "{took:?} of {timeout:?}");
            }
            assert_pace(&rig.record.starts(), per_second(pace).interval());
            assert!(rig.record.starts().len() <= rig.journal.begun().iter().sum::<u32>() as usize);
        });
    }
}

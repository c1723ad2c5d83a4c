//! A `place` dropped after every number of polls, so at every await: before the first byte everything is as if it had not been, after
//! it the call is open or settled in the journal, and nothing else stays taken.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::task::Poll;
use std::time::{Duration, Instant};

use trunkline::{Account, Class, Clock, ErrorKind};
use trunkline_core_types::VirtualClock;

use crate::peer::Does;
use crate::rig::{Delays, Rig, keyed};

const SECOND: Duration = Duration::from_secs(1);

/// What is dropped.
struct Variant {
    script: &'static [Does],
    delays: Delays,
    /// Connections that are refused first.
    refuse: usize,
    /// Another call takes the slot before.
    waits: bool,
    /// One live call at a time.
    leased: bool,
    /// The classes that drops end in, by their labels.
    classes: &'static [&'static str],
}

const PLAIN: Variant = Variant {
    script: &[],
    delays: Delays {
        claim: Duration::ZERO,
        begin: Duration::ZERO,
        sign: Duration::ZERO,
        connect: Duration::ZERO,
    },
    refuse: 0,
    waits: false,
    leased: false,
    classes: &["ambiguous", "unsent"],
};

/// Drops after `polls` polls; `None` then.
async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let (mut future, mut left) = (Box::pin(future), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn rig(variant: &Variant) -> Rig {
    let leased = |account: Account| match variant.leased {
        true => account.live_calls(NonZeroU32::MIN, 60 * SECOND),
        false => account,
    };
    Rig::new(variant.script.iter().cloned(), variant.delays, variant.refuse, leased)
}

async fn at_every_await(variant: Variant) {
    let mut classes = BTreeSet::new();
    for polls in 0.. {
        assert!(polls < 300, "the call does not end");
        let rig = rig(&variant);
        let clock = VirtualClock::new();
        let mut slot = clock.now();
        if variant.waits {
            rig.client.place(keyed("before")).await.unwrap();
            slot = rig.record.starts()[0] + SECOND;
            rig.record.forget();
        }
        if let Some(placed) = polled(rig.client.place(keyed("k")), polls).await {
            assert!(!placed.unwrap().replayed);
            break;
        }
        let verdict = rig.record.verdict();
        classes.insert(verdict.as_str());
        let settled = rig.journal.settled("k").unwrap_or(Class::Unsent);
        // After a throttle the repeat may have begun without a byte, which the wire does not show.
        let later = verdict.fold(Class::Unsent);
        assert!([verdict, later].contains(&settled), "{settled:?}, not {verdict:?}, after {polls} polls");
        assert_eq!(rig.journal.is_open("k").await, verdict == Class::Ambiguous, "after {polls} polls");
        afterwards(&rig, verdict, slot.max(clock.now()), &variant).await;
        let drained = rig.client.shutdown(SECOND).await;
        assert_eq!((drained.under_way, drained.open), (0, usize::from(verdict == Class::Ambiguous)));
    }
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), variant.classes);
}

/// The same key and another one, after the drop.
async fn afterwards(rig: &Rig, verdict: Class, slot: Instant, variant: &Variant) {
    let before = rig.peer.count();
    let again = rig.client.place(keyed("k")).await;
    match verdict {
        Class::Unsent => {
            // A slot, a lease, an in-flight permit or a flight that stayed would show here as a second of delay or a refusal.
            assert!(!again.unwrap().replayed && rig.peer.count() > before);
            let started = rig.record.starts()[0];
            // Refused connections that are left cost a repeat with its pause.
            let late = started.saturating_duration_since(slot);
            assert!(late < SECOND / 2 || variant.refuse > 0, "{late:?}");
        }
        Class::Deferred => assert!(!again.unwrap().replayed && rig.peer.count() > before),
        Class::Ambiguous => {
            assert_eq!((again.unwrap_err().kind(), rig.peer.count()), (ErrorKind::Ambiguous, before));
            if variant.leased {
                // It may ring, so it keeps its lease until that ends by itself.
                tokio::time::advance(60 * SECOND).await;
            }
            rig.client.place(keyed("another")).await.unwrap();
        }
        _ => assert_eq!((again.unwrap().replayed, rig.peer.count()), (true, before)),
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_slow() {
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_slow_journal() {
    let delays = Delays { claim: Duration::from_millis(5), begin: Duration::from_millis(6), ..PLAIN.delays };
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], delays, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_slow_signer() {
    let delays = Delays { sign: Duration::from_millis(5), ..PLAIN.delays };
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], delays, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_for_its_permit() {
    let script = &[Does::Answers(201, ""), Does::AnswersLate(SECOND)];
    at_every_await(Variant { script, waits: true, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn while_it_connects() {
    let delays = Delays { connect: Duration::from_millis(20), ..PLAIN.delays };
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], delays, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn between_retries_of_refused_connections() {
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], refuse: 4, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn between_retries_after_a_throttle() {
    const THROTTLE: &str = r#"{"type":"error","error":{"type":"rate_limit","message":"slow"}}"#;
    let script = &[Does::Answers(429, THROTTLE), Does::AnswersLate(SECOND)];
    let delays = Delays { begin: Duration::from_millis(6), ..PLAIN.delays };
    at_every_await(Variant { script, delays, classes: &["ambiguous", "deferred", "unsent"], ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn between_retries_after_a_lost_answer() {
    let delays = Delays { begin: Duration::from_millis(6), ..PLAIN.delays };
    at_every_await(Variant { script: &[Does::Closes, Does::AnswersLate(SECOND)], delays, ..PLAIN }).await;
}

#[tokio::test(start_paused = true)]
async fn under_a_lease_of_live_calls_with_everything_slow() {
    let delays = Delays {
        claim: Duration::from_millis(5),
        begin: Duration::from_millis(6),
        sign: Duration::from_millis(5),
        connect: Duration::from_millis(20),
    };
    at_every_await(Variant { script: &[Does::AnswersLate(SECOND)], delays, leased: true, ..PLAIN }).await;
}

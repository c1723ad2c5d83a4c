//! The local pacer in virtual time, and on many threads.

#![expect(clippy::unwrap_used, reason = "a test")]

mod line;
mod signals;
mod slots;
mod threads;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use trunkline_core_types::{Ask, Clock, Denied, Lane, Pacer, Permit, Rate, VirtualClock};
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

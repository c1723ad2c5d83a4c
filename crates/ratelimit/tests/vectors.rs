//! The shared vectors of the pace: `tests/vectors/gcra.json`, or the file of that name in `TRUNKLINE_VECTORS`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use trunkline_core_types::Rate;
use trunkline_ratelimit::{Decision, Gcra};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
    reservation: Vec<Reservation>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    interval_us: u64,
    burst: u32,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    t_us: u64,
    n: u32,
    result: String,
    tat_us: u64,
    remaining: Option<u32>,
    retry_after_us: Option<u64>,
}

#[derive(Deserialize)]
struct Reservation {
    interval_us: u64,
    burst: u32,
    arrivals_us: Vec<u64>,
    wait_us: Vec<u64>,
}

fn vectors() -> Vectors {
    let folder = std::env::var_os("TRUNKLINE_VECTORS")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"));
    let path = folder.join("gcra.json");
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn pace(interval_us: u64, burst: u32) -> Gcra {
    let rate = Rate::new(NonZeroU32::MIN, Duration::from_micros(interval_us)).unwrap();
    Gcra::new(rate, NonZeroU32::new(burst).unwrap())
}

#[test]
fn every_case_decides_as_written() {
    let cases = vectors().cases;
    assert!(!cases.is_empty(), "no case in gcra.json");
    for case in cases {
        let mut pace = pace(case.interval_us, case.burst);
        for (i, step) in case.steps.iter().enumerate() {
            let at = format!("gcra.json, case `{}`, step {i}", case.name);
            let now = step.t_us * 1_000;
            let (result, wait) = match pace.take(now, step.n) {
                Decision::Allow(grant) => {
                    assert_eq!(grant.slot(), now, "{at}: slot");
                    ("allow", None)
                }
                Decision::Wait(wait) => ("deny", Some(wait)),
                Decision::Never => ("never", None),
            };
            assert_eq!(result, step.result, "{at}: result");
            assert_eq!(wait, step.retry_after_us.map(Duration::from_micros), "{at}: retry_after");
            assert_eq!(pace.full_at(), step.tat_us * 1_000, "{at}: tat");
            if let Some(remaining) = step.remaining {
                assert_eq!(pace.remaining(now), remaining, "{at}: remaining");
            }
        }
    }
}

#[test]
fn every_reservation_waits_as_written() {
    let reservations = vectors().reservation;
    assert!(!reservations.is_empty(), "no reservation in gcra.json");
    for (i, case) in reservations.iter().enumerate() {
        let mut pace = pace(case.interval_us, case.burst);
        assert_eq!(case.arrivals_us.len(), case.wait_us.len(), "gcra.json, reservation {i}: lengths");
        for (j, (arrival, wait)) in case.arrivals_us.iter().zip(&case.wait_us).enumerate() {
            let slot = pace.reserve(arrival * 1_000, 1).unwrap().slot();
            assert_eq!(slot, (arrival + wait) * 1_000, "gcra.json, reservation {i}, arrival {j}");
        }
    }
}

//! Seeds one after another, until one finds something.

use serde::{Deserialize, Serialize};
use trunkline_tests::simulation::{Verdict, around, day, refusals, run};

/// Calls of the day.
const DAY: usize = 3_000;
/// Counts that may be above zero.
const WORK: [&str; 9] =
    ["calls", "placed", "rejected", "unsent", "ambiguous", "reconciled", "callbacks", "refused_keys", "pace"];

/// A simulation: a name, and what runs one seed with so many calls.
type Scene = (&'static str, fn(u64, usize) -> Verdict);

/// The simulations that take turns; the day comes last.
const SCENES: [Scene; 3] = [("calls", run), ("around", around::run), ("refusals", refusals::run)];

/// What one mutant led to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The invariants that broke, with their counts; none if all held.
    pub(crate) by: Vec<(String, u64)>,
    /// Calls made until then.
    pub(crate) calls: u64,
    /// The seed that found it.
    pub(crate) seed: u64,
    /// Which of the simulations found it.
    pub(crate) scene: String,
    /// The first problem in words.
    pub(crate) problem: Option<String>,
}

pub(crate) fn search(seeds: u64, calls: usize) -> Found {
    let mut made = 0;
    for seed in 1..=seeds {
        for (scene, run) in SCENES {
            let verdict = run(seed, calls);
            made += verdict.calls;
            let by = broken(&verdict, verdict.holds());
            if !by.is_empty() {
                return Found { by, calls: made, seed, scene: scene.into(), problem: verdict.problem };
            }
        }
    }
    let day = day::run(1, DAY);
    let by = broken(&day, day.holds());
    Found { by, calls: made + day.calls, seed: 1, scene: "day".into(), problem: day.problem }
}

/// The counts that are not zero, of those that have to be.
fn broken(verdict: &impl Serialize, holds: bool) -> Vec<(String, u64)> {
    let counts = match serde_json::to_value(verdict) {
        Ok(serde_json::Value::Object(counts)) if !holds => counts,
        _ => return Vec::new(),
    };
    let numbers = counts.into_iter().filter_map(|(name, count)| Some((name, count.as_u64()?)));
    numbers.filter(|(name, count)| *count > 0 && !WORK.contains(&name.as_str())).collect()
}

//! What must hold, checked against the provider's book.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::load::{End, Ended};
use super::plan::Plan;
use super::provider::World;

/// What one seed, or many, found. Everything but `calls` and `trace` must be 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Calls made.
    pub calls: u64,
    /// Rings beyond the first under one key.
    pub duplicates: u64,
    /// Calls whose class does not agree with the provider's book.
    pub misclassified: u64,
    /// Starts above the stated bound of the pace.
    pub pace_violations: u64,
    /// Operations that never came back.
    pub leaked_permits: u64,
    /// Calls that passed their deadline.
    pub late: u64,
    /// Hash of everything that reached the provider, with its time.
    #[serde(skip)]
    pub trace: u64,
    /// The first problem in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Verdict {
    /// Whether everything held.
    pub fn holds(&self) -> bool {
        let found =
            [self.duplicates, self.misclassified, self.pace_violations, self.leaked_permits, self.late];
        found.iter().all(|count| *count == 0)
    }

    /// Adds another seed's.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.duplicates += other.duplicates;
        self.misclassified += other.misclassified;
        self.pace_violations += other.pace_violations;
        self.leaked_permits += other.leaked_permits;
        self.late += other.late;
        self.trace = self.trace.rotate_left(7) ^ other.trace;
        self.problem = self.problem.take().or(other.problem);
    }
}

pub(super) fn judge(seed: u64, plan: &Plan, world: &World, ended: &Ended) -> Verdict {
    let wrong = misclassified(world, ended);
    let mut verdict = Verdict {
        calls: plan.calls as u64,
        duplicates: world.duplicates(),
        misclassified: wrong.len() as u64,
        pace_violations: world
            .paces()
            .iter()
            .map(|(starts, throttles)| too_many(plan, starts) + in_pause(plan, starts, throttles))
            .sum(),
        leaked_permits: ended.leaked,
        late: ended.late,
        trace: world.trace(),
        problem: None,
    };
    if !verdict.holds() {
        verdict.problem = Some(format!("seed {seed}: {verdict:?}; {plan:?}; {}", wrong.join("; ")));
    }
    verdict
}

/// Each call in exactly one class, and each class as the book has it. Two callers of one key see the same end, but for a first one that
/// ended unsent before the second began.
fn misclassified(world: &World, ended: &Ended) -> Vec<String> {
    let mut seen: BTreeMap<&str, End> = BTreeMap::new();
    let mut wrong = Vec::new();
    let is_placed = |(_, end): &&(String, End)| *end == End::Placed;
    let placed: BTreeSet<&str> = ended.calls.iter().filter(is_placed).map(|(key, _)| key.as_str()).collect();
    for (key, end) in &ended.calls {
        let rung = world.times_rung(key);
        let agrees = match end {
            End::Placed => rung == 1,
            End::Unsent if placed.contains(&key.as_str()) => true,
            End::Rejected | End::Unsent => rung == 0,
            End::Ambiguous | End::Dropped => rung <= 1,
        };
        let before = seen.insert(key, *end);
        let same = before.is_none_or(|before| before == *end || before == End::Unsent);
        if !agrees || !same {
            wrong.push(format!("{key} ended {end:?} and was rung {rung} times"));
        }
    }
    wrong
}

/// Starts beyond `1 + (window + tolerance) / interval` in any closed window.
fn too_many(plan: &Plan, starts: &[Instant]) -> u64 {
    let interval = Duration::from_secs(1) / plan.per_second.get();
    let mut found = 0;
    for (from, first) in starts.iter().enumerate() {
        // A window that begins with a start and ends with one is as tight as any.
        for (more, last) in starts[from..].iter().enumerate().take(200) {
            let bound = 1 + (*last - *first + plan.tolerance).as_nanos() / interval.as_nanos();
            found += u64::from((more as u128 + 1) > bound);
        }
    }
    found
}

/// Starts inside of the second for which a throttle asked; permits that were out already may still start.
fn in_pause(plan: &Plan, starts: &[Instant], throttles: &[Instant]) -> u64 {
    let tick = Duration::from_millis(2);
    let pauses =
        throttles.iter().map(|at| (*at + plan.tolerance + tick, *at + Duration::from_secs(1) - tick));
    pauses
        .map(|(from, until)| starts.iter().filter(|start| (from..until).contains(start)).count() as u64)
        .sum()
}

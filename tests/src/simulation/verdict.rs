//! What one seed, or many, found.

use serde::Serialize;

use super::findings::Invariant;
use super::log::Log;

/// What one seed, or many, found. Everything but `calls` and `trace` must be 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Calls made.
    pub calls: u64,
    /// Rings beyond the first under one key.
    pub duplicates: u64,
    /// Attempts and calls whose class does not agree with the provider's book.
    pub misclassified: u64,
    /// Starts above the stated bound of the pace, or in a pause.
    pub pace_violations: u64,
    /// Operations and permits that never came back.
    pub leaked_permits: u64,
    /// Calls that passed their deadline.
    pub late: u64,
    /// Bytes that left without an attempt in the journal.
    pub unnoted: u64,
    /// Creates, or freed keys, after an unknown outcome without proof.
    pub unproven: u64,
    /// Accounts that placed nothing any more, and runs that did not end.
    pub stuck: u64,
    /// Hash of everything that reached the provider, with its time.
    #[serde(skip)]
    pub trace: u64,
    /// The first problem in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Verdict {
    pub(super) fn of(seed: u64, calls: usize, log: &Log) -> Self {
        let mut verdict = Self { calls: calls as u64, trace: log.trace(), ..Self::default() };
        for invariant in Invariant::ALL {
            *verdict.field(invariant) = log.count(invariant);
        }
        if let Some(first) = log.first_found().first() {
            verdict.problem = Some(format!("seed {seed}: {first}"));
        }
        verdict
    }

    /// Whether everything held.
    pub fn holds(&self) -> bool {
        Invariant::ALL.iter().all(|invariant| self.clone().field(*invariant) == &0)
    }

    /// Adds another seed's.
    pub fn add(&mut self, mut other: Self) {
        self.calls += other.calls;
        for invariant in Invariant::ALL {
            *self.field(invariant) += *other.field(invariant);
        }
        self.trace = self.trace.rotate_left(7) ^ other.trace;
        self.problem = self.problem.take().or(other.problem);
    }

    /// What was found of each invariant, with its name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut all = self.clone();
        Invariant::ALL.into_iter().map(move |invariant| (invariant.name(), *all.field(invariant)))
    }

    fn field(&mut self, invariant: Invariant) -> &mut u64 {
        match invariant {
            Invariant::Duplicates => &mut self.duplicates,
            Invariant::Misclassified => &mut self.misclassified,
            Invariant::Pace => &mut self.pace_violations,
            Invariant::Leaked => &mut self.leaked_permits,
            Invariant::Late => &mut self.late,
            Invariant::Unnoted => &mut self.unnoted,
            Invariant::Unproven => &mut self.unproven,
            Invariant::Stuck => &mut self.stuck,
        }
    }
}

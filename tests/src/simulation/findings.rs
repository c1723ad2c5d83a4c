//! What must hold, and where it did not.

use std::fmt;
use std::time::Duration;

/// What must hold at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No key is rung twice.
    Duplicates,
    /// Each attempt and call ends in one class, which agrees with the provider's book.
    Misclassified,
    /// Starts keep to the stated bound, and nothing starts in a pause.
    Pace,
    /// What was taken comes back: permits, slots, leases, probes.
    Leaked,
    /// No wait passes its deadline.
    Late,
    /// No byte leaves but under an attempt that the journal holds as in flight.
    Unnoted,
    /// No create follows an unknown outcome without proof.
    Unproven,
    /// The limiter goes on granting, and every run ends.
    Stuck,
}

impl Invariant {
    pub(super) const ALL: [Self; 8] = [
        Self::Duplicates,
        Self::Misclassified,
        Self::Pace,
        Self::Leaked,
        Self::Late,
        Self::Unnoted,
        Self::Unproven,
        Self::Stuck,
    ];

    /// Its name in the verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duplicates => "duplicates",
            Self::Misclassified => "misclassified",
            Self::Pace => "pace_violations",
            Self::Leaked => "leaked_permits",
            Self::Late => "late",
            Self::Unnoted => "unnoted",
            Self::Unproven => "unproven",
            Self::Stuck => "stuck",
        }
    }
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When, since the start of the run.
    pub at: Duration,
    /// Of which call, if of one.
    pub key: Option<String>,
    /// What did not hold.
    pub invariant: Invariant,
    /// How.
    pub words: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, at) = (self.invariant.name(), self.at.as_secs_f64());
        let key = self.key.as_deref().unwrap_or("-");
        write!(f, "{name} at {at:.6} s, call {key}: {}", self.words)
    }
}

/// How many of the violations are kept in words.
const KEPT: usize = 20;

/// All violations of a run; the first ones in words.
#[derive(Debug, Default)]
pub(super) struct Findings {
    counts: [u64; Invariant::ALL.len()],
    kept: Vec<Found>,
}

impl Findings {
    pub(super) fn add(&mut self, found: Found) {
        self.counts[found.invariant as usize] += 1;
        if self.kept.len() < KEPT {
            self.kept.push(found);
        }
    }

    pub(super) fn count(&self, invariant: Invariant) -> u64 {
        self.counts[invariant as usize]
    }

    pub(super) fn kept(&self) -> &[Found] {
        &self.kept
    }
}

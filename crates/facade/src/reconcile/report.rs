//! What a reconcile found.

use std::time::Duration;

use trunkline_core_types::IdempotencyKey;

use crate::Error;

/// What one run found out about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// It was placed, and is settled so: `place` under its key gives the old answer.
    Placed,
    /// It was not placed. Its key is free if that was asked for; else it stays open.
    ProvenAbsent,
    /// The provider cannot say, or said what proves nothing.
    StillUnknown,
    /// It could not be asked about, or the answer could not be noted.
    Failed,
}

/// What one run did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Calls found and settled as placed.
    pub placed: usize,
    /// Calls proven not to have been placed.
    pub proven_absent: usize,
    /// Calls of which nothing could be proven.
    pub still_unknown: usize,
    /// Calls that could not be asked about, or whose answer could not be noted.
    pub failed: usize,
    /// Calls that are open after the run, at most 10,000: those that were not settled, and those that wait.
    pub open: usize,
    /// Of these, calls whose time has not come: they may still be under way, or the provider cannot know yet.
    pub waiting: usize,
    /// In what time the first of them may be asked about.
    pub next_in: Option<Duration>,
    /// Each call that was looked at, with what was found.
    pub findings: Vec<(IdempotencyKey, Finding)>,
    /// The last thing that failed; also why a run looked at nothing: the journal did not list, or another run is under way.
    pub error: Option<Error>,
}

impl Report {
    pub(super) fn note(&mut self, key: IdempotencyKey, looked: Result<Finding, Error>) {
        let finding = looked.unwrap_or_else(|error| {
            self.error = Some(error.with_key(&key));
            Finding::Failed
        });
        *match finding {
            Finding::Placed => &mut self.placed,
            Finding::ProvenAbsent => &mut self.proven_absent,
            Finding::StillUnknown => &mut self.still_unknown,
            Finding::Failed => &mut self.failed,
        } += 1;
        self.findings.push((key, finding));
    }
}

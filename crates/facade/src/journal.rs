//! Which journal keeps the promise: a choice that is written, never a default.

use std::sync::Arc;

use trunkline_core_types::{AttemptJournal, SystemClock};
use trunkline_journal::MemoryJournal;

/// Where claims and attempts are noted.
#[derive(Debug, Clone)]
pub struct Journal(pub(crate) Arc<dyn AttemptJournal>);

impl Journal {
    /// Kept in memory: the promise not to ring twice ends with the process. After a crash nobody knows who was rung.
    pub fn in_memory() -> Self {
        Self(Arc::new(MemoryJournal::new(Arc::new(SystemClock::new()))))
    }

    /// A store of your own; it must pass the conformance suite of `trunkline-journal`.
    pub fn custom(journal: Arc<dyn AttemptJournal>) -> Self {
        Self(journal)
    }
}

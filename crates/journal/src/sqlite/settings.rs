//! What a user may set of the file.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::Clock;

/// How a [`SqliteJournal`](crate::SqliteJournal) keeps its file.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// Wall time for fences, times of rows and the retention; a clock set back keeps rows longer and frees no open key, one set far
    /// ahead deletes settled keys early.
    pub clock: Arc<dyn Clock>,
    /// How long a settled or freed key is kept at least; after that it is deleted, and claiming it again dials. Open keys are never
    /// deleted. Default: [`RETENTION`](Self::RETENTION).
    pub retention: Duration,
    /// The largest file, without its log, in bytes (rounded down to pages of 4096, at least what is in use). Beyond it claims fail as
    /// `Full` and nothing is sent. Default: none, the disk's own end.
    pub max_bytes: Option<u64>,
}

impl SqliteSettings {
    /// Default of [`retention`](Self::retention): thirty days.
    pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);

    /// The defaults, with the time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, retention: Self::RETENTION, max_bytes: None }
    }
}

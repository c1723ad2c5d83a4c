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

    /// Kept in the SQLite file at `path`, which is made if it is not there: what was noted survives a crash. One process writes a file.
    ///
    /// Settled keys are kept for thirty days; see [`Journal::sqlite_with`]. Blocks while the file is checked.
    ///
    /// # Errors
    /// `Input` on `journal` if the file cannot be used, `Unsent` if another process writes it, or the disk is full.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(path: impl AsRef<std::path::Path>) -> Result<Self, crate::Error> {
        Self::sqlite_with(path, trunkline_journal::SqliteSettings::new(Arc::new(SystemClock::new())))
    }

    /// The same with settings of its own.
    ///
    /// # Errors
    /// As [`Journal::sqlite`].
    #[cfg(feature = "sqlite")]
    pub fn sqlite_with(
        path: impl AsRef<std::path::Path>,
        settings: trunkline_journal::SqliteSettings,
    ) -> Result<Self, crate::Error> {
        use trunkline_journal::{JournalOpenErrorKind as Kind, SqliteJournal};
        match SqliteJournal::open(path, settings) {
            Ok(journal) => Ok(Self(Arc::new(journal))),
            Err(error) => {
                let shown = error.to_string();
                let unsent = matches!(error.kind(), Kind::Locked | Kind::Full | Kind::Store);
                let problem = shown.strip_prefix("journal: ").unwrap_or(&shown);
                let made = if unsent {
                    crate::Error::unsent(&shown)
                } else {
                    crate::Error::settings("journal", problem)
                };
                Err(made.caused_by(error))
            }
        }
    }

    /// A store of your own; it must pass the conformance suite of `trunkline-journal`.
    pub fn custom(journal: Arc<dyn AttemptJournal>) -> Self {
        Self(journal)
    }
}

//! What goes wrong with the file, as errors that name the next step and never a key or a number.

use std::error::Error;

use rusqlite::ErrorCode;
use trunkline_core_types::{JournalError, JournalErrorKind};

/// Why a journal could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JournalOpenErrorKind {
    /// Another journal, in this process or another, writes this file.
    Locked,
    /// A newer version of this crate wrote the file.
    Newer,
    /// Opened to read only: an earlier version of this crate wrote the file, and reading it would need it changed.
    Older,
    /// The file is damaged.
    Corrupt,
    /// The file belongs to something else.
    Foreign,
    /// The file or its folder does not exist, cannot be made, or cannot be written.
    Access,
    /// There is no room for the file, on the disk or under the setting `max_bytes`.
    Full,
    /// The store failed otherwise.
    Store,
}

/// A journal could not be opened; the message says what to do and names no path.
#[derive(Debug, thiserror::Error)]
#[error("journal: {message}")]
pub struct JournalOpenError {
    kind: JournalOpenErrorKind,
    message: Box<str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl JournalOpenError {
    pub(super) fn new(kind: JournalOpenErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The file system refused.
    pub(super) fn access(message: &'static str, source: std::io::Error) -> Self {
        let full =
            matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let kind = if full { JournalOpenErrorKind::Full } else { JournalOpenErrorKind::Access };
        Self::new(kind, message).with_source(source)
    }

    /// Why it failed, for callers who branch.
    pub fn kind(&self) -> JournalOpenErrorKind {
        self.kind
    }
}

impl From<rusqlite::Error> for JournalOpenError {
    fn from(error: rusqlite::Error) -> Self {
        use JournalOpenErrorKind as Kind;
        let (kind, message) = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => (Kind::Foreign, NO_DATABASE),
            Some(ErrorCode::DatabaseCorrupt) => (Kind::Corrupt, CORRUPT),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (Kind::Locked, "another program holds the file; close it")
            }
            Some(ErrorCode::DiskFull) => {
                (Kind::Full, "there is no room for the file; free some or raise max_bytes")
            }
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                (Kind::Access, "the file cannot be opened; check the path and its permissions")
            }
            Some(ErrorCode::SystemIoFailure) => {
                (Kind::Store, "the disk refused, full or failing; see the cause")
            }
            _ => (Kind::Store, "the store failed; see the cause"),
        };
        Self::new(kind, message).with_source(error)
    }
}

/// A file whose first bytes are not SQLite's: somebody else's, or ours with its head damaged. Nobody can tell which.
const NO_DATABASE: &str = "the file is not an SQLite database; if it was a journal it is damaged: keep it, restore a backup, and check who \
     was rung since before dialling; else choose another path";

/// What to do about a damaged file.
pub(super) const CORRUPT: &str =
    "the file is damaged; keep it, restore a backup, and check who was rung since before dialling";

/// A read or write of a running journal failed.
pub(super) fn failed(step: &str, error: rusqlite::Error) -> JournalError {
    let (kind, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            (JournalErrorKind::Full, "there is no room for it; free some or raise max_bytes")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (JournalErrorKind::Store, "the disk refused, full or failing; see the cause")
        }
        _ if is_held(&error) => (JournalErrorKind::Store, "another program holds the file; close it"),
        _ => (JournalErrorKind::Store, "the store failed; see the cause"),
    };
    JournalError::new(kind, format!("{step}: {what}")).with_source(error)
}

/// Another program would not let go of the file in time.
pub(super) fn is_held(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The journal was closed, or its thread has ended.
pub(super) fn closed(step: &str) -> JournalError {
    JournalError::new(JournalErrorKind::Store, format!("{step}: the journal is closed; open it again"))
}

//! What can be wrong with settings.

use std::fmt;

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    got: String,
}

/// Which setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The tolerance is outside 1 ms to 10 s.
    Tolerance,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, got: impl fmt::Debug) -> Self {
        Self { kind, got: format!("{got:?}") }
    }

    /// Which setting.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Tolerance => {
                write!(f, "tolerance: give a time from 1 ms to 10 s; got {}", self.got)
            }
        }
    }
}

impl std::error::Error for Error {}

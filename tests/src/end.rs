//! How a call ended for one caller.

use trunkline::{Error, ErrorKind, Placed};

/// How a call ended for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Placed,
    Rejected,
    Unsent,
    Ambiguous,
    /// The caller dropped it.
    Dropped,
}

impl End {
    pub(crate) fn of(result: &Result<Placed, Error>) -> Self {
        match result.as_ref().map_err(Error::kind) {
            Ok(_) => Self::Placed,
            Err(ErrorKind::Rejected) => Self::Rejected,
            Err(ErrorKind::Unsent) => Self::Unsent,
            Err(ErrorKind::Ambiguous) => Self::Ambiguous,
            Err(other) => panic!("no call is bad input: {other:?}"),
        }
    }
}

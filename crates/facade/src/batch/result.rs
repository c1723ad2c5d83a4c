//! What came of a row.

use trunkline_core_types::{CallRef, IdempotencyKey};

use super::{Entry, Row};
use crate::{Error, ErrorKind, Placed, WithCauses};

/// What came of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RowClass {
    /// Placed now.
    Placed,
    /// Placed by an earlier run; nobody was rung this time.
    Already,
    /// The provider will not act, or did not want to in an earlier run.
    Rejected,
    /// The phone may have rung; not dialled again.
    Ambiguous,
    /// Nobody was rung; the next run tries again.
    Unsent,
    /// The caller's own check said no.
    NotAllowed,
    /// Not a call: the record is bad, or its key belongs to another call.
    Input,
    /// Its key stood further up in the file.
    Duplicate,
}

impl RowClass {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Placed,
        Self::Already,
        Self::Rejected,
        Self::Ambiguous,
        Self::Unsent,
        Self::NotAllowed,
        Self::Input,
        Self::Duplicate,
    ];

    /// A word for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Already => "already",
            Self::Rejected => "rejected",
            Self::Ambiguous => "ambiguous",
            Self::Unsent => "unsent",
            Self::NotAllowed => "not_allowed",
            Self::Input => "input",
            Self::Duplicate => "duplicate",
        }
    }
}

/// What came of one row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RowResult {
    /// The line on which its record begins, from 1.
    pub line: u64,
    /// Its key; `None` if the record is bad.
    pub key: Option<IdempotencyKey>,
    /// What came of it.
    pub class: RowClass,
    /// The call, if its provider's answer can be read.
    pub call: Option<CallRef>,
    /// Why it is neither placed nor a duplicate; never a value of the row.
    pub error: Option<Box<str>>,
    /// The field that the error is about, where one is known.
    pub field: Option<Box<str>>,
}

/// The error, and for a row that can be sent later its causes: one of them has to be mended first.
fn told(error: &Error, class: RowClass) -> String {
    match class {
        RowClass::Unsent => WithCauses(error).to_string(),
        _ => error.to_string(),
    }
}

impl RowResult {
    fn new(line: u64, key: Option<IdempotencyKey>, class: RowClass) -> Self {
        Self { line, key, class, call: None, error: None, field: None }
    }

    pub(super) fn of(line: u64, key: IdempotencyKey, result: Result<Placed, Error>) -> Self {
        match result {
            Ok(placed) => {
                let class = if placed.replayed { RowClass::Already } else { RowClass::Placed };
                Self { call: placed.reference, ..Self::new(line, Some(key), class) }
            }
            Err(error) => {
                let class = match error.kind() {
                    ErrorKind::Input => RowClass::Input,
                    ErrorKind::NotAllowed => RowClass::NotAllowed,
                    ErrorKind::Rejected => RowClass::Rejected,
                    ErrorKind::Unsent => RowClass::Unsent,
                    _ => RowClass::Ambiguous,
                };
                let (text, field) = (told(&error, class).into(), error.field().map(Into::into));
                Self { error: Some(text), field, ..Self::new(line, Some(key), class) }
            }
        }
    }

    /// A record that is not a call to place.
    pub(super) fn aside(entry: Entry) -> Result<Row, Self> {
        match entry {
            Entry::Row(row) => Ok(row),
            Entry::Duplicate(again) => Err(Self::new(again.line, Some(again.key), RowClass::Duplicate)),
            Entry::Rejected(bad) => Err(Self {
                error: Some(bad.reason),
                field: Some(bad.field),
                ..Self::new(bad.line, None, RowClass::Input)
            }),
        }
    }
}

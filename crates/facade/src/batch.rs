//! Whole files of calls: read row by row, placed at the account's pace, resumed where they stopped.
//!
//! [`Batch`] reads a CSV or JSONL file of any size in memory of a fixed size; [`Client::place_batch`](crate::Client::place_batch) places
//! its rows; [`ResultsWriter`] and [`RejectsWriter`] keep what came of them. Each row has one key, its own or one derived from what it
//! says to whom, so a second run of the same file over the same journal rings nobody again. A row whose outcome is unknown is reported
//! and never dialled again, unless [`BatchSettings::redial_unknown`] says so.
//!
//! ```
//! use trunkline::batch::{Batch, Columns, Entry};
//!
//! let file = "to,name\n+14155550123,Ada\n4155550124,Grace\n+14155550123,Ada\n";
//! let columns = Columns::new("reminders").say_template("Hello {name}, see you at noon.")?;
//! let rows: Vec<_> = Batch::csv(file.as_bytes(), columns)?.collect::<Result<_, _>>()?;
//!
//! assert!(matches!(&rows[0], Entry::Row(row) if row.line == 2));
//! assert!(matches!(&rows[1], Entry::Rejected(bad) if bad.line == 3 && &*bad.field == "to"));
//! assert!(matches!(&rows[2], Entry::Duplicate(again) if again.line == 4));
//! # Ok::<(), trunkline::Error>(())
//! ```

mod columns;
mod template;

mod csv;
mod jsonl;
mod source;

mod read;
mod row;
mod seen;

mod report;
mod result;
mod run;
mod tally;

pub use columns::Columns;
pub use read::Batch;
pub use report::{RejectsWriter, ResultsWriter};
pub use result::{RowClass, RowResult};
pub use row::{Duplicate, Entry, Rejected, Row};
pub use run::{BatchRun, BatchSettings};
pub use tally::{Survey, Tally};

#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../../docs/batch.md")]
mod guide {}

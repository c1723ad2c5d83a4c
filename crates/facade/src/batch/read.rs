//! From a file to its rows.

use std::fmt;
use std::io::{self, Read};

use super::csv::CsvRecords;
use super::jsonl::JsonLines;
use super::row::{Bad, row};
use super::seen::Seen;
use super::source::{Source, unreadable};
use super::{Columns, Duplicate, Entry, Rejected, Row};
use crate::Error;

/// The rows of a file, read as they are asked for, in memory that does not grow with the file (but for 8 to 16 bytes of each of the
/// first 1,048,576 keys, which are compared with each other; later duplicates are the journal's to see).
///
/// UTF-8 with or without a byte order mark; lines end with LF or CRLF; quotes may go across lines. A field takes up to 64 KiB, a record
/// 256 KiB and 256 columns: longer ones are rejected rows, however long. Blank lines are nothing. Reading waits for the file.
pub struct Batch {
    columns: Columns,
    records: Records,
    seen: Seen,
    over: bool,
}

#[expect(clippy::large_enum_variant, reason = "there is one of them per file")]
#[derive(Debug)]
enum Records {
    Csv(CsvRecords),
    Jsonl(JsonLines),
}

impl Batch {
    /// Rows of a CSV file whose first line names its columns.
    ///
    /// # Errors
    /// `Input` on `file` if it is empty, UTF-16 or binary or lacks a column, on `say` if the template names a column that is not there.
    pub fn csv(reader: impl Read + Send + 'static, columns: Columns) -> Result<Self, Error> {
        let records = CsvRecords::new(Source::new(reader)?, columns.separator)?;
        columns.check(records.header())?;
        Ok(Self::new(columns, Records::Csv(records)))
    }

    /// Rows of a file with one flat JSON object a line; its names are the columns.
    ///
    /// # Errors
    /// `Input` on `file` if it is empty, UTF-16 or binary. What a row lacks is known with the row.
    pub fn jsonl(reader: impl Read + Send + 'static, columns: Columns) -> Result<Self, Error> {
        let mut source = Source::new(reader)?;
        source.skip_line_ends().map_err(unreadable)?;
        if source.chunk().map_err(unreadable)?.is_empty() {
            return Err(Error::settings("file", "is empty; write one JSON object a line"));
        }
        Ok(Self::new(columns, Records::Jsonl(JsonLines::new(source))))
    }

    fn new(columns: Columns, records: Records) -> Self {
        Self { columns, records, seen: Seen::new(), over: false }
    }

    /// How many bytes of the file the rows so far took.
    pub fn position(&self) -> u64 {
        match &self.records {
            Records::Csv(records) => records.source().position(),
            Records::Jsonl(records) => records.source().position(),
        }
    }

    fn read(&mut self) -> io::Result<Option<Result<Row, Rejected>>> {
        let columns = &self.columns;
        let (line, made) = match &mut self.records {
            Records::Csv(records) => match records.next()? {
                None => return Ok(None),
                Some((line, Ok(()))) => (line, row(line, columns, records)),
                Some((line, Err(problem))) => (line, Err(Bad::new("row", &problem))),
            },
            Records::Jsonl(records) => match records.next()? {
                None => return Ok(None),
                Some((line, Ok(()))) => (line, row(line, columns, records)),
                Some((line, Err(problem))) => (line, Err(Bad::new("row", &problem))),
            },
        };
        Ok(Some(made.map_err(|bad| bad.at(line))))
    }
}

impl Iterator for Batch {
    /// An error means that the file cannot be read any further, and comes last.
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read().map_err(unreadable).transpose();
        self.over = !matches!(read, Some(Ok(_)));
        Some(read?.map(|read| match read {
            Err(rejected) => Entry::Rejected(rejected),
            Ok(row) if self.seen.is_new(&row.key) => Entry::Row(row),
            Ok(row) => Entry::Duplicate(Duplicate { line: row.line, key: row.key }),
        }))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("position", &self.position()).finish_non_exhaustive()
    }
}

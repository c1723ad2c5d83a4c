//! CSV, one record at a time, in memory of a fixed size.

use std::io;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::row::Fields;
use super::source::{MAX_COLUMNS, MAX_FIELD, MAX_RECORD, Source};
use crate::Error;

pub(super) const TOO_LONG: &str = "a record is longer than 256 KiB; is a quote never closed?";
const TOO_MANY: &str = "more than 256 columns";
const FIELD_TOO_LONG: &str = "a field is longer than 64 KiB";
const NOT_UTF8: &str = "not UTF-8; save the file as UTF-8";

/// Records after a header.
#[derive(Debug)]
pub(super) struct CsvRecords {
    source: Source,
    reader: Reader,
    header: Vec<String>,
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl CsvRecords {
    /// Reads the header.
    pub(super) fn new(source: Source, separator: u8) -> Result<Self, Error> {
        let reader = ReaderBuilder::new().delimiter(separator).build();
        let (text, ends) = (vec![0; MAX_RECORD], vec![0; MAX_COLUMNS]);
        let mut records = Self { source, reader, header: Vec::new(), text, ends, fields: 0 };
        match records.read().map_err(super::source::unreadable)? {
            None => Err(Error::settings("file", "is empty; its first line must name the columns")),
            Some((_, Err(problem))) => Err(Error::settings("file", &format!("header: {problem}"))),
            Some((_, Ok(()))) => {
                let names = (0..records.fields).filter_map(|at| records.field(at));
                records.header = names.map(|name| name.trim().to_owned()).collect();
                Ok(records)
            }
        }
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The next record's line, and whether it can be used; its fields are those of `self` then.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Result<(), String>)>> {
        let Some((line, read)) = self.read()? else { return Ok(None) };
        let (has, wanted) = (self.fields, self.header.len());
        let fits = read.map_err(str::to_owned).and_then(|()| match has == wanted {
            true => Ok(()),
            false => {
                Err(format!("{has} fields, but the header has {wanted}; is a separator or a quote missing?"))
            }
        });
        Ok(Some((line, fits)))
    }

    fn read(&mut self) -> io::Result<Option<(u64, Result<(), &'static str>)>> {
        self.source.skip_line_ends()?;
        let line = self.source.line();
        let (mut length, mut fields, mut problem) = (0, 0, None);
        loop {
            let chunk = self.source.chunk()?;
            let (result, read, written, ended) =
                self.reader.read_record(chunk, &mut self.text[length..], &mut self.ends[fields..]);
            self.source.consume(read);
            (length, fields) = (length + written, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                // What does not fit is read and forgotten, up to the record's end.
                ReadRecordResult::OutputFull => (length, problem) = (0, Some(TOO_LONG)),
                ReadRecordResult::OutputEndsFull => (fields, problem) = (0, problem.or(Some(TOO_MANY))),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        self.fields = fields;
        let fits = problem.map_or_else(|| self.check(), Err);
        Ok(Some((line, fits)))
    }

    fn check(&self) -> Result<(), &'static str> {
        for at in 0..self.fields {
            if self.bytes(at).len() > MAX_FIELD {
                return Err(FIELD_TOO_LONG);
            }
            if self.field(at).is_none() {
                return Err(NOT_UTF8);
            }
        }
        Ok(())
    }

    fn bytes(&self, at: usize) -> &[u8] {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        self.text.get(begin..self.ends[at]).unwrap_or_default()
    }

    fn field(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(at)).ok()
    }
}

impl Fields for CsvRecords {
    fn get(&self, column: &str) -> Option<&str> {
        self.header.iter().position(|name| name == column).and_then(|at| self.field(at))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.header.iter().map(String::as_str))
    }
}

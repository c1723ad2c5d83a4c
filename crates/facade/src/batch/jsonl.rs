//! JSON lines: one flat object a line.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value};

use super::csv::TOO_LONG;
use super::row::Fields;
use super::source::{MAX_COLUMNS, MAX_FIELD, MAX_RECORD, Source};

/// Objects with texts, numbers, `true`, `false` and `null`, which is an empty text.
#[derive(Debug)]
pub(super) struct JsonLines {
    source: Source,
    line: Vec<u8>,
    fields: BTreeMap<String, String>,
}

impl JsonLines {
    pub(super) fn new(source: Source) -> Self {
        Self { source, line: Vec::new(), fields: BTreeMap::new() }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The next object's line, and whether it can be used; its fields are those of `self` then.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Result<(), String>)>> {
        self.source.skip_line_ends()?;
        let line = self.source.line();
        let Some(fits) = self.read()? else { return Ok(None) };
        self.fields.clear();
        let read = if fits { self.parse() } else { Err(TOO_LONG) };
        Ok(Some((line, read.map_err(str::to_owned))))
    }

    /// One line into `self.line`; false if it does not fit.
    fn read(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let (mut fits, mut begun) = (true, false);
        loop {
            let chunk = self.source.chunk()?;
            if chunk.is_empty() {
                return Ok(begun.then_some(fits));
            }
            begun = true;
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let length = end.unwrap_or(chunk.len());
            fits &= self.line.len() + length <= MAX_RECORD;
            if fits {
                self.line.extend_from_slice(&chunk[..length]);
            }
            self.source.consume(length);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }

    fn parse(&mut self) -> Result<(), &'static str> {
        if std::str::from_utf8(&self.line).is_err() {
            return Err("not UTF-8; save the file as UTF-8");
        }
        let object: Map<String, Value> = serde_json::from_slice(&self.line)
            .map_err(|_| "not one JSON object; write one object a line, such as {\"to\": \"+1...\"}")?;
        if object.len() > MAX_COLUMNS {
            return Err("more than 256 fields");
        }
        for (name, value) in object {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => return Err("a field holds a list or an object; write texts and numbers"),
            };
            if text.len() > MAX_FIELD {
                return Err("a field is longer than 64 KiB");
            }
            self.fields.insert(name, text);
        }
        Ok(())
    }
}

impl Fields for JsonLines {
    fn get(&self, column: &str) -> Option<&str> {
        self.fields.get(column).map(String::as_str)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.fields.keys().map(String::as_str))
    }
}

//! One row: the call it asks for, or why there is none.

use std::fmt;

use trunkline_core_types::{IdempotencyKey, InputError, NewCall};

use super::Columns;
use crate::Order;

/// What a record of a file is.
#[expect(clippy::large_enum_variant, reason = "nearly every record is a call, and one lives at a time")]
#[derive(Debug)]
#[non_exhaustive]
pub enum Entry {
    /// A call to place.
    Row(Row),
    /// Not a call; the others go on.
    Rejected(Rejected),
    /// A call whose key stood further up: not placed twice.
    Duplicate(Duplicate),
}

/// A call to place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Row {
    /// The line on which the record begins, from 1; a header is line 1.
    pub line: u64,
    /// The call, always with its key.
    pub order: Order,
    pub(super) key: IdempotencyKey,
}

/// A record that is not a call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rejected {
    /// The line on which the record begins, from 1.
    pub line: u64,
    /// The field (`to`, `say`, `url`, `from`, `key`, `tags`), a column of the template, or `row` for the whole record.
    pub field: Box<str>,
    /// What is wrong and what to write instead; never the value.
    pub reason: Box<str>,
}

/// A record whose key stood further up in the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Duplicate {
    /// The line on which the record begins, from 1.
    pub line: u64,
    /// The key of both.
    pub key: IdempotencyKey,
}

/// The texts of one record, by column.
pub(super) trait Fields: fmt::Debug {
    fn get(&self, column: &str) -> Option<&str>;
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}

/// What is wrong with a row, without its line.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) field: String,
    pub(super) reason: String,
}

impl Bad {
    pub(super) fn new(field: &str, reason: &str) -> Self {
        Self { field: field.to_owned(), reason: reason.to_owned() }
    }

    pub(super) fn at(self, line: u64) -> Rejected {
        Rejected { line, field: self.field.into(), reason: self.reason.into() }
    }
}

impl From<InputError> for Bad {
    fn from(error: InputError) -> Self {
        let shown = error.to_string();
        let reason = shown.strip_prefix(error.field()).and_then(|rest| rest.strip_prefix(": "));
        Self::new(error.field(), reason.unwrap_or(&shown))
    }
}

/// The call of a record.
pub(super) fn row(line: u64, columns: &Columns, fields: &impl Fields) -> Result<Row, Bad> {
    let given = |field| fields.get(columns.of(field)).map(str::trim).filter(|value| !value.is_empty());
    let to = given("to").ok_or_else(|| Bad::new("to", "is missing"))?;
    let (mut call, speech) = match (&columns.template, given("say"), given("url")) {
        (Some(template), ..) => {
            let text = template.fill(fields)?;
            (NewCall::say(to, &text)?, text)
        }
        (None, Some(_), Some(_)) => {
            return Err(Bad::new("say", "stands beside a url; a row takes one of the two"));
        }
        (None, Some(text), None) => (NewCall::say(to, text)?, text.into()),
        (None, None, Some(url)) => (NewCall::play(to, url)?, url.into()),
        (None, None, None) => {
            return Err(Bad::new("say", "is empty, and so is url; a row takes one of the two"));
        }
    };
    if let Some(from) = given("from") {
        call = call.from_number(from)?;
    }
    for (tag, column) in fields.names().filter_map(|column| Some((columns.tag(column)?, column))) {
        if let Some(value) = fields.get(column).filter(|value| !value.is_empty()) {
            call = call.tag(tag, value)?;
        }
    }
    let key: IdempotencyKey = match given("key") {
        Some(key) => key.parse().map_err(|error: InputError| error.of("key"))?,
        None => columns.derive_key(&call.to.expose(), &speech)?,
    };
    let mut order = Order::new(call);
    order.key = Some(key.clone());
    Ok(Row { line, order, key })
}

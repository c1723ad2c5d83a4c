//! Which column is which field of a call.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use strsim::osa_distance;
use trunkline_core_types::{IdempotencyKey, InputError};

use super::template::Template;
use crate::Error;

/// How the columns of a file become calls.
///
/// | Field | Column unless mapped | Meaning |
/// |---|---|---|
/// | `to` | `to`, required | who is rung |
/// | `say` | `say` | text to speak; each row needs this or `url`, unless [`say_template`](Self::say_template) is set |
/// | `url` | `url` | audio or script to play |
/// | `from` | `from` | caller id; empty: the account's own |
/// | `key` | `key` | the call's one name; empty: derived from the batch's name, `to`, and `say` or `url` |
/// | tags | `tag_NAME` | tag `NAME`; empty: none |
///
/// Further columns are for templates only.
#[derive(Debug, Clone)]
pub struct Columns {
    name: Box<str>,
    mapped: BTreeMap<&'static str, String>,
    tag_prefix: String,
    pub(super) template: Option<Template>,
    pub(super) separator: u8,
}

const FIELDS: [&str; 5] = ["to", "say", "url", "from", "key"];

impl Columns {
    /// The usual columns. `name` is the batch's own and part of each derived key: the same row in a batch of another name is another call.
    pub fn new(name: &str) -> Self {
        let (mapped, tag_prefix) = (BTreeMap::new(), "tag_".to_owned());
        Self { name: name.into(), mapped, tag_prefix, template: None, separator: b',' }
    }

    /// Takes `field` from `column`. It must be in the file then.
    ///
    /// # Errors
    /// `Input` on `map` if there is no such field, or no column is named.
    pub fn map(mut self, field: &str, column: &str) -> Result<Self, Error> {
        let known = FIELDS.iter().find(|known| **known == field);
        let known =
            known.ok_or_else(|| Error::settings("map", "the field must be to, say, url, from or key"))?;
        if column.trim().is_empty() {
            return Err(Error::settings("map", "a column without a name; write FIELD=COLUMN"));
        }
        self.mapped.insert(known, column.trim().to_owned());
        Ok(self)
    }

    /// Speaks this text to everybody, with `{column}` replaced by the row's own. `{column}` must not be empty in any row, `{column?}` may;
    /// `{{` and `}}` are braces. The columns `say` and `url` are not looked at then.
    ///
    /// # Errors
    /// `Input` on `say` for a brace that stands alone.
    pub fn say_template(mut self, text: &str) -> Result<Self, Error> {
        self.template = Some(Template::parse(text)?);
        Ok(self)
    }

    /// Columns whose names begin so are tags. Default: `tag_`.
    #[must_use]
    pub fn tag_prefix(mut self, prefix: &str) -> Self {
        self.tag_prefix = prefix.to_owned();
        self
    }

    /// What stands between two fields of a CSV file: one of `,`, `;`, `|` and the tab. Default: `,`.
    ///
    /// # Errors
    /// `Input` on `separator` for anything else.
    pub fn separator(mut self, separator: char) -> Result<Self, Error> {
        if !matches!(separator, ',' | ';' | '|' | '\t') {
            return Err(Error::settings("separator", "must be a comma, a semicolon, a bar or a tab"));
        }
        self.separator = separator as u8;
        Ok(self)
    }

    /// The column of a field.
    pub(super) fn of<'a>(&'a self, field: &'a str) -> &'a str {
        self.mapped.get(field).map_or(field, String::as_str)
    }

    /// The tag that a column holds.
    pub(super) fn tag<'a>(&self, column: &'a str) -> Option<&'a str> {
        column.strip_prefix(&*self.tag_prefix).filter(|name| !name.is_empty())
    }

    /// Checks that a header has what every row will be asked for. Until its column of numbers is found it may be somebody's row.
    pub(super) fn check(&self, header: &[String]) -> Result<(), Error> {
        for field in FIELDS {
            let column = self.of(field);
            let count = header.iter().filter(|name| *name == column).count();
            if count > 1 {
                return Err(Error::settings("file", &format!("two columns are named {column}")));
            }
            if count == 0 && (field == "to" || self.mapped.contains_key(field)) {
                return Err(self.missing(column, field, header));
            }
        }
        if let Some(column) =
            self.template.iter().flat_map(Template::columns).find(|column| !has(header, column))
        {
            let problem =
                format!("{{{column}}} is not a column of the file{}", instead(column, header, true));
            return Err(Error::settings("say", &problem));
        }
        if self.template.is_none() && !has(header, self.of("say")) && !has(header, self.of("url")) {
            let problem =
                "has neither a column say nor url; map one (say=COLUMN), or give a text for everybody";
            return Err(Error::settings("file", problem));
        }
        let mut tags = BTreeSet::new();
        match header.iter().filter_map(|column| self.tag(column)).find(|tag| !tags.insert(*tag)) {
            Some(_) => Err(Error::settings("file", "two columns hold the same tag")),
            None => Ok(()),
        }
    }

    fn missing(&self, column: &str, field: &str, header: &[String]) -> Error {
        let separators = [(',', "commas"), (';', "semicolons"), ('|', "bars"), ('\t', "tabs")];
        let separates = |(separator, _): &&(char, &str)| matches!(header, [one] if one.contains(*separator));
        let hint = match separators.iter().find(separates) {
            _ if header[0].starts_with('{') => "; if these are JSON lines, name the file .jsonl".into(),
            Some((_, name)) => format!("; is it separated by {name}?"),
            None => instead(column, header, field != "to"),
        };
        let hint = if hint.is_empty() { "; the first line must name the columns" } else { &hint };
        let (columns, how) = (header.len(), format!("map it ({field}=COLUMN)"));
        Error::settings("file", &format!("none of its {columns} columns is named {column}: {how}{hint}"))
    }

    /// The key of a row that names none: 128 bits of SHA-256 over batch, number and what is said, each with its length.
    pub(super) fn derive_key(&self, to: &str, speech: &str) -> Result<IdempotencyKey, InputError> {
        let mut hash = Sha256::new();
        for part in [&*self.name, to, speech] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("tb_{hex}").parse()
    }
}

fn has(header: &[String], column: &str) -> bool {
    header.iter().any(|name| name == column)
}

/// The most columns that are listed.
const LISTED: usize = 20;

/// What a header has in place of a column: all of them, if it is known to be a header, and the nearest, if one is near.
fn instead(column: &str, header: &[String], is_header: bool) -> String {
    // What is no name may be a value.
    let is_name = |name: &&str| {
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        !name.is_empty() && name.len() <= 64 && digits < 5 && !name.contains(char::is_control)
    };
    let names: Vec<&str> = header.iter().map(String::as_str).filter(is_name).collect();
    let mut text = String::new();
    if is_header {
        let more = if names.len() > LISTED { ", ..." } else { "" };
        text = format!("; its columns are {}{more}", names[..names.len().min(LISTED)].join(", "));
    }
    let wanted = column.to_lowercase();
    let far = |name: &&&str| osa_distance(&wanted, &name.to_lowercase());
    if let Some(near) = names.iter().min_by_key(far).filter(|name| far(name) <= wanted.chars().count() / 3) {
        text = format!("{text}; did you mean {near}?");
    }
    text
}

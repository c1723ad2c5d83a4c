//! Fields out of a reply's JSON: strict about what is read, blind to the rest, silent about values.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// A field's own text in the reply; `None` where it is absent or null.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// What is wrong with a reply: the path of the field and the shape of its value, never the value.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) path: String,
    pub(crate) problem: String,
}

impl Bad {
    pub(crate) fn new(path: &str, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }

    /// The same problem, seen from the object that holds the field.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.path = format!("{parent}.{}", self.path);
        self
    }

    /// A value of another kind or form than expected.
    pub(crate) fn shape(path: &str, raw: &RawValue, want: &str) -> Self {
        let have = match raw.get().as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "a boolean",
            _ => "a number",
        };
        Self::new(path, format!("{have}; expected {want}"))
    }
}

/// The object that is the whole body.
pub(crate) fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Bad> {
    // The parser's own message may repeat a value, so only its category is told.
    let bad = |what: &str| Bad::new("body", format!("{what}, {} bytes", body.len()));
    // Checked once as a whole; from bytes, each field would be checked again.
    let text = std::str::from_utf8(body).map_err(|_| bad("not JSON"))?;
    let read = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => bad("cut off"),
        Category::Data => bad("JSON, but not an object that has each field once"),
        _ => bad("not JSON"),
    })?;
    if begins_object(body) { Ok(read) } else { Err(bad("a list; expected an object")) }
}

/// A field that is an object.
pub(crate) fn object<'a, T: Deserialize<'a>>(path: &str, raw: &'a RawValue) -> Result<T, Bad> {
    let want = "an object that has each field once";
    if begins_object(raw.get().as_bytes()) { read(path, raw, want) } else { Err(Bad::shape(path, raw, want)) }
}

/// A derived reader would take a list for an object, position by position.
fn begins_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

pub(crate) fn required<'a>(path: &str, raw: Raw<'a>) -> Result<&'a RawValue, Bad> {
    raw.ok_or_else(|| Bad::new(path, "missing"))
}

/// A value of JSON's own kinds; `want` names the kind.
pub(crate) fn read<'a, T: Deserialize<'a>>(path: &str, raw: &'a RawValue, want: &str) -> Result<T, Bad> {
    serde_json::from_str(raw.get()).map_err(|_| Bad::shape(path, raw, want))
}

/// A string that has to parse; `want` says what it is.
pub(crate) fn parsed<T: FromStr>(path: &str, raw: &RawValue, want: &str) -> Result<T, Bad> {
    string(path, raw, want)?.parse().map_err(|_| Bad::shape(path, raw, want))
}

/// The text of a string. Its raw form is JSON already, so without an escape it is the text between the quotes.
pub(crate) fn string<'a>(path: &str, raw: &'a RawValue, want: &str) -> Result<Cow<'a, str>, Bad> {
    let quoted = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match quoted.filter(|text| !text.contains('\\')) {
        Some(text) => Ok(Cow::Borrowed(text)),
        None => read(path, raw, want).map(Cow::Owned),
    }
}

/// A string of 1 to `max` characters without control characters.
pub(crate) fn word<'a>(path: &str, raw: &'a RawValue, max: usize) -> Result<Cow<'a, str>, Bad> {
    let want = "a word";
    let text = string(path, raw, want)?;
    let fits = !text.is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Bad::shape(path, raw, want)) }
}

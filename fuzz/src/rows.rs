//! Files of calls: CSV and JSON lines, header mapping and templates.

use std::io::{self, Cursor, Read};

use serde_json::{Map, Value};
use trunkline::batch::{Batch, Columns, Entry, Row};
use trunkline_core_types::{IdempotencyKey, Provider as _, Speech};

use crate::input::Input;
use crate::{quiet, reply};

/// The kind of the file and its separator (`csv ;`, `jsonl`), then the mapping (`to=phone say=text`), then a text for everybody or an
/// empty line, then the file.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, map, template) = (input.text(), input.text(), input.text());
    if quiet::has_number(map) || quiet::has_number(template) {
        // Names of columns are the caller's own words and are shown.
        return;
    }
    let Some(columns) = columns(kind, map, template) else { return };
    let json = kind.starts_with("jsonl");
    let file = input.rest();
    let whole = read(json, file.to_vec(), columns.clone(), usize::MAX);
    // Packets of any size are the same file.
    let small = read(json, file.to_vec(), columns.clone(), 1 + kind.len() % 7);
    assert_eq!(format!("{whole:?}"), format!("{small:?}"));
    let Some(entries) = whole else { return };
    let lines = lines(file);
    assert!(entries.len() as u64 <= lines, "{} entries in {lines} lines", entries.len());
    let mut line = 0;
    for entry in &entries {
        line = after(line, entry);
        assert!(line <= lines, "line {line} of {lines}");
        if let Entry::Row(row) = entry {
            comes_back(row);
        }
    }
}

/// As an editor counts them: CR LF ends one.
fn lines(file: &[u8]) -> u64 {
    let pairs = file.windows(2).filter(|pair| pair == b"\r\n").count();
    let ends = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    1 + (ends - pairs) as u64
}

fn columns(kind: &str, map: &str, template: &str) -> Option<Columns> {
    let mut columns = Columns::new("fuzz");
    if let Some(separator) = kind.strip_prefix("csv ").and_then(|rest| rest.chars().next()) {
        columns = told(columns.separator(separator))?;
    }
    for (field, column) in map.split(' ').filter_map(|pair| pair.split_once('=')) {
        columns = told(columns.map(field, column))?;
    }
    if !template.is_empty() {
        columns = told(columns.say_template(template))?;
    }
    Some(columns)
}

fn told<T>(result: Result<T, trunkline::Error>) -> Option<T> {
    result.map_err(|error| quiet::error(&error)).ok()
}

fn read(json: bool, file: Vec<u8>, columns: Columns, packet: usize) -> Option<Vec<Entry>> {
    let length = file.len() as u64;
    let packets = Packets(Cursor::new(file), packet);
    let mut batch = told(if json { Batch::jsonl(packets, columns) } else { Batch::csv(packets, columns) })?;
    let (mut entries, mut at) = (Vec::new(), batch.position());
    while let Some(entry) = batch.next() {
        entries.push(told(entry)?);
        assert!(batch.position() >= at && batch.position() <= length);
        at = batch.position();
    }
    assert_eq!(batch.position(), length, "a file that was not read to its end");
    assert!(batch.next().is_none());
    Some(entries)
}

struct Packets(Cursor<Vec<u8>>, usize);

impl Read for Packets {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fits = buffer.len().min(self.1);
        self.0.read(&mut buffer[..fits])
    }
}

/// Lines go up, and what is refused is told without its value.
fn after(line: u64, entry: &Entry) -> u64 {
    let at = match entry {
        Entry::Row(row) => row.line,
        Entry::Duplicate(again) => again.line,
        Entry::Rejected(bad) => {
            quiet::text(&bad.reason);
            quiet::canary(&bad.reason);
            bad.line
        }
        other => panic!("a kind of entry without a check: {other:?}"),
    };
    assert!(at > line, "line {at} after line {line}");
    at
}

/// A row that was read, written anew, is the same call under the same key, and its request says the same.
fn comes_back(row: &Row) {
    let call = &row.order.call;
    let shown = format!("{row:?}");
    assert!(!shown.contains(&call.to.expose()[1..]) || !has_number_aside(row), "a number is shown: {shown}");
    let Some(key) = &row.order.key else { panic!("a row without a key") };
    let mut object = Map::new();
    object.insert("to".into(), call.to.expose().into());
    object.insert("key".into(), key.as_str().into());
    match &call.speech {
        Speech::Text(text) => object.insert("say".into(), text.as_str().into()),
        Speech::Url(url) => object.insert("url".into(), url.expose().into()),
        other => panic!("speech without a check: {other:?}"),
    };
    if let Some(from) = call.from {
        object.insert("from".into(), from.expose().into());
    }
    for (name, value) in call.tags.iter() {
        object.insert(format!("tag_{name}"), value.into());
    }
    let again = read(true, Value::Object(object).to_string().into_bytes(), Columns::new("fuzz"), usize::MAX);
    match again.as_deref() {
        Some([Entry::Row(again)]) => {
            let same = again.order.call.speech == call.speech || is_trimmed(&call.speech);
            assert!(same && again.order.call.to == call.to && again.order.call.tags == call.tags);
            assert_eq!((&again.order.key, again.order.call.from), (&row.order.key, call.from));
        }
        other => panic!("a row that does not come back: {other:?}"),
    }
    asks(row, key);
}

/// A text for everybody may begin or end with spaces, a field loses them.
fn is_trimmed(speech: &Speech) -> bool {
    matches!(speech, Speech::Text(text) if text.as_str().trim() != text.as_str())
}

/// A key or a URL is the caller's own and is shown.
fn has_number_aside(row: &Row) -> bool {
    let digits = &row.order.call.to.expose()[1..];
    let key = row.order.key.as_ref().is_some_and(|key| key.as_str().contains(digits));
    let url = matches!(&row.order.call.speech, Speech::Url(url) if url.expose().contains(digits));
    !key && !url
}

fn asks(row: &Row, key: &IdempotencyKey) {
    let request = match reply::voice().create(&row.order.call, key) {
        Ok(request) => request,
        Err(error) => return quiet::error(&error),
    };
    let body: Value = match serde_json::from_slice(request.body()) {
        Ok(body) => body,
        Err(error) => panic!("a body that is no JSON: {error}"),
    };
    assert_eq!(body["to"], row.order.call.to.expose());
    let (text, url) = match &row.order.call.speech {
        Speech::Text(text) => (Value::from(text.as_str()), Value::Null),
        Speech::Url(url) => (Value::Null, Value::from(url.expose())),
        other => panic!("speech without a check: {other:?}"),
    };
    assert_eq!((&body["tts"], &body["audio_url"]), (&text, &url));
    let tags: Map<String, Value> =
        row.order.call.tags.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    assert_eq!(body["tags"].as_object().cloned().unwrap_or_default(), tags);
    assert_eq!(
        request.headers().get("idempotency-key").map(|value| value.as_bytes()),
        Some(key.as_str().as_bytes())
    );
    quiet::canary(&format!("{:?}", request.headers()));
}

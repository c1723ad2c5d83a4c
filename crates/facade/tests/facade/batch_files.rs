//! Files of calls, the bad ones above all.

use std::io::{Cursor, Read};

use proptest::prelude::*;
use trunkline::batch::{Batch, Columns, Entry, RejectsWriter};
use trunkline::{Error, Lane, Speech};

const GOOD: &str = "+14155550123";

fn columns() -> Columns {
    Columns::new("test")
}

fn csv(file: impl Into<Vec<u8>>, columns: Columns) -> Result<Vec<Entry>, Error> {
    Batch::csv(Cursor::new(file.into()), columns)?.collect()
}

fn jsonl(file: impl Into<Vec<u8>>) -> Result<Vec<Entry>, Error> {
    Batch::jsonl(Cursor::new(file.into()), columns())?.collect()
}

/// `3 row`, `4 to: why` or `5 again`, one an entry.
fn told(entries: &[Entry]) -> Vec<String> {
    let told = |entry: &Entry| match entry {
        Entry::Row(row) => format!("{} row", row.line),
        Entry::Rejected(bad) => format!("{} {}: {}", bad.line, bad.field, bad.reason),
        Entry::Duplicate(again) => format!("{} again", again.line),
        _ => String::new(),
    };
    entries.iter().map(told).collect()
}

fn say(entry: &Entry) -> &str {
    match entry {
        Entry::Row(row) => match &row.order.call.speech {
            Speech::Text(text) => text.as_str(),
            _ => "a url",
        },
        _ => "not a row",
    }
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn files_that_cannot_be_calls_are_refused_before_anything_is_placed() {
    let header = "to,say\n+14155550123,hello\n";
    let semicolons = "to;say\n+14155550123;hello\n";
    let files: [(Vec<u8>, &str, &str); 17] = [
        (utf16(header, false), "file", "UTF-16"),
        (utf16(header, true), "file", "UTF-16"),
        (utf16(header, false)[2..].to_vec(), "file", "UTF-16 without a mark"),
        (b"PK\x03\x04\x14\0\x06\0".to_vec(), "file", "export it as CSV"),
        (Vec::new(), "file", "empty"),
        (b"\xef\xbb\xbf".to_vec(), "file", "empty"),
        (b"\r\n\n\r\n".to_vec(), "file", "empty"),
        (b"number,say\n+14155550123,hello\n".to_vec(), "file", "to=COLUMN"),
        (b"+14155550123,hello\n".to_vec(), "file", "first line must name the columns"),
        (b"to,text\n+14155550123,hello\n".to_vec(), "file", "neither a column say nor url"),
        (b"to,say,to\n+14155550123,hello,x\n".to_vec(), "file", "two columns are named to"),
        (b"to,say,tag_a,tag_a\n".to_vec(), "file", "same tag"),
        (semicolons.into(), "file", "semicolons"),
        (br#"{"to": "+14155550123", "say": "hello"}"#.to_vec(), "file", "name the file .jsonl"),
        (b"t\xff,say\n".to_vec(), "file", "not UTF-8"),
        (vec![b','; 300], "file", "256 columns"),
        (vec![b'x'; 10 << 20], "file", "256 KiB"),
    ];
    for (file, field, says) in files {
        let shown = String::from_utf8_lossy(&file[..file.len().min(30)]).into_owned();
        let error = csv(file, columns()).expect_err(&shown);
        assert_eq!(error.field(), Some(field), "{shown}");
        assert!(error.to_string().contains(says), "{shown}: {error}");
        assert!(!error.to_string().contains("4155"), "{error}");
    }
    assert!(jsonl("").unwrap_err().to_string().contains("empty"));
    assert!(jsonl("\n\r\n").unwrap_err().to_string().contains("empty"));
    assert!(jsonl(utf16("{}", false)).unwrap_err().to_string().contains("UTF-16"));
}

#[test]
fn settings_that_fit_no_file_are_refused() {
    for (made, field) in [
        (columns().map("number", "to"), "map"),
        (columns().map("to", " "), "map"),
        (columns().say_template("Hello {name"), "say"),
        (columns().separator('x'), "separator"),
    ] {
        assert_eq!(made.unwrap_err().field(), Some(field));
    }
    let file = "to,say\n";
    for (columns, field) in [
        (columns().map("key", "order").unwrap(), "file"),
        (columns().say_template("Hello {name}").unwrap(), "say"),
    ] {
        assert_eq!(csv(file, columns).unwrap_err().field(), Some(field));
    }
}

#[test]
fn a_column_that_is_not_there_is_told_its_neighbours() {
    let say = |text| columns().say_template(text).unwrap();
    for (file, columns, end) in [
        (
            "to,name,city\n",
            say("Hello {nmae}"),
            "say: {nmae} is not a column of the file; its columns are to, name, city; did you mean name?",
        ),
        (
            "to,+14155550123,4155550124x,city\n",
            say("Hello {name}"),
            "say: {name} is not a column of the file; its columns are to, city",
        ),
        ("To,say\n", columns(), "is named to: map it (to=COLUMN); did you mean To?"),
        ("Phone,say\n", columns().map("to", "phnoe").unwrap(), "map it (to=COLUMN); did you mean Phone?"),
        (
            "to,say,order\n",
            columns().map("key", "ordre").unwrap(),
            "its columns are to, say, order; did you mean order?",
        ),
        // Without a header the first line is somebody's.
        ("Tom,canary\n", columns(), "map it (to=COLUMN); the first line must name the columns"),
    ] {
        let error = csv(file, columns).unwrap_err().to_string();
        assert!(error.ends_with(end), "{error}");
    }
}

#[test]
fn records_are_told_by_line_and_field_and_never_by_value() {
    let file = format!(
        "to,say,url,from,key,tag_x\r\n\
         {GOOD},hello,,,,\r\n\
         4155550199,canary,,,,\r\n\
         {GOOD},,,,,\r\n\
         {GOOD},canary,https://canary.example,,,\r\n\
         {GOOD},,http://canary.example,,,\r\n\
         {GOOD},canary,,canary,,\r\n\
         {GOOD},canary,,,a canary,\r\n\
         {GOOD},canary,,,,{canaries}\r\n\
         ,canary,,,,\r\n\
         {GOOD},canary\r\n\
         {GOOD},canary,,,,,\r\n\
         \r\n\
         {GOOD},\"two\r\nlines, \"\"quoted\"\"\",,,,\r\n\
         {GOOD},can\u{7}ary,,,,\r\n\
         {GOOD},last,,,,",
        canaries = "canary".repeat(50)
    );
    let entries = csv(file, columns()).unwrap();
    let lines = told(&entries);
    let expected = [
        "2 row",
        "3 to: ",
        "4 say: is empty, and so is url",
        "5 say: stands beside a url",
        "6 url: ",
        "7 from: ",
        "8 key: ",
        "9 tags: ",
        "10 to: is missing",
        "11 row: 2 fields, but the header has 6",
        "12 row: 7 fields",
        "14 row",
        "16 say: has a control character",
        "17 row",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(expected) && !line.contains("canary") && !line.contains("415555019"),
            "{line}"
        );
    }
    assert_eq!(say(&entries[11]), "two\r\nlines, \"quoted\"");
}

#[test]
fn marks_line_ends_and_separators_change_nothing() {
    let plain = "to,say\n+14155550123,hello\n\n+14155550124,bye\n";
    let files: [(Vec<u8>, char); 5] = [
        (plain.into(), ','),
        ([b"\xef\xbb\xbf", plain.as_bytes()].concat(), ','),
        (plain.replace('\n', "\r\n").into(), ','),
        (plain.replace('\n', "\r").into(), ','),
        (plain.replace(',', ";").into(), ';'),
    ];
    for (file, separator) in files {
        let entries = csv(file, columns().separator(separator).unwrap()).unwrap();
        assert_eq!(told(&entries), ["2 row", "4 row"]);
        assert_eq!((say(&entries[0]), say(&entries[1])), ("hello", "bye"));
    }
}

#[test]
fn a_field_of_ten_megabytes_is_one_rejected_row() {
    for quote in ["", "\""] {
        let long = "x".repeat(10 << 20);
        let file = format!("to,say\n{GOOD},{quote}{long}{quote}\n{GOOD},hello\n");
        assert_eq!(
            told(&csv(file, columns()).unwrap()),
            ["2 row: a record is longer than 256 KiB; is a quote never closed?", "3 row"]
        );
    }
    let file = format!("to,say\n{GOOD},{}\n{GOOD},hello\n", "x".repeat(70_000));
    assert_eq!(told(&csv(file, columns()).unwrap()), ["2 row: a field is longer than 64 KiB", "3 row"]);
    let file = format!("{{\"to\":\"{}\"}}\n{{\"to\":\"{GOOD}\",\"say\":\"hello\"}}\n", "x".repeat(10 << 20));
    assert!(told(&jsonl(file).unwrap())[1] == "2 row");
}

#[test]
fn text_that_is_not_utf8_is_a_rejected_row() {
    let file = [b"to,say\n+14155550123,gr\xfc\xdfe\n+14155550123,hello\n".as_slice()].concat();
    assert_eq!(told(&csv(file, columns()).unwrap()), ["2 row: not UTF-8; save the file as UTF-8", "3 row"]);
    assert!(told(&jsonl(b"{\"to\":\"\xff\"}\n".as_slice()).unwrap())[0].contains("UTF-8"));
}

#[test]
fn json_lines_are_rows_too() {
    let file = concat!(
        "{\"to\": \"+14155550123\", \"say\": \"hello\", \"key\": 17, \"from\": null}\r\n",
        "\n",
        "{\"to\": \"+14155550123\", \"say\": \"hello\", \"key\": \"17\"}\n",
        "[1]\n",
        "{\"to\": [\"canary\"]}\n",
        "{\"say\": \"hello\"}\n",
        "not json canary",
    );
    let entries = jsonl(file).unwrap();
    let lines = told(&entries);
    assert_eq!(lines[..2], ["1 row", "3 again"]);
    assert!(lines[2].starts_with("4 row: not one JSON object"), "{lines:?}");
    assert!(lines[3].starts_with("5 row: a field holds a list"), "{lines:?}");
    assert_eq!(lines[4], "6 to: is missing");
    assert!(lines[5].starts_with("7 row:") && !lines[5].contains("canary"), "{lines:?}");
    let Entry::Row(row) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(row.order.key.as_ref().unwrap().as_str(), "17");
}

#[test]
fn templates_tags_and_mapped_columns_reach_the_call() {
    let file = "Phone,name,title,tag_order,Caller\n\
                +14155550123,Ada,,17,+14155550100\n\
                +14155550124,,Dr.,,\n";
    let columns = columns().map("to", "Phone").unwrap().map("from", "Caller").unwrap();
    let entries = csv(file, columns.say_template("Hello {title?} {name}").unwrap()).unwrap();
    assert_eq!(say(&entries[0]), "Hello  Ada");
    assert_eq!(told(&entries)[1], "3 name: is empty; write {name?} in the text if it may be");
    let Entry::Row(row) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(row.order.call.tags.iter().collect::<Vec<_>>(), [("order", "17")]);
    assert!(row.order.call.from.is_some() && row.order.lane.is_none_or(|lane| lane == Lane::Bulk));
}

fn keys(file: &str, name: &str) -> Vec<String> {
    let key = |entry: Entry| match entry {
        Entry::Row(row) => row.order.key.unwrap().as_str().to_owned(),
        other => format!("{other:?}"),
    };
    csv(file, Columns::new(name)).unwrap().into_iter().map(key).collect()
}

#[test]
fn a_derived_key_is_the_same_in_every_run_and_of_the_whole_call() {
    let file = "to,say,url\n+14155550123,hello,\n+14155550124,hello,\n+14155550123,bye,\n+14155550123,,https://a.example/\n";
    let first = keys(file, "one");
    assert_eq!(first, keys(file, "one"));
    let distinct: std::collections::BTreeSet<_> = first.iter().chain(&keys(file, "two")).cloned().collect();
    assert_eq!(distinct.len(), 8, "{distinct:?}");
    // Written down: a changed derivation would ring everybody of an interrupted batch again.
    assert_eq!(first[0], "tb_45a1c555aa01ecfee809a4430a067e6f");
}

#[test]
fn a_key_is_a_row_once() {
    let file =
        "to,say,key\n+14155550123,hello,a\n+14155550124,hello,a\n+14155550123,hello,\n+14155550123,hello,\n";
    assert_eq!(told(&csv(file, columns()).unwrap()), ["2 row", "3 again", "4 row", "5 again"]);
}

#[test]
fn a_survey_counts_and_estimates() {
    let file = "to,say\n+14155550123,hello\n+14155550123,hello\n1,hello\n2,hello\n+14155550124,hello\n+14155550125,hello\n";
    let survey = Batch::csv(Cursor::new(file), columns()).unwrap().survey().unwrap();
    assert_eq!((survey.calls, survey.rejected, survey.duplicates), (3, 2, 1));
    assert_eq!(
        survey.reasons().map(|(field, _, count)| (field.to_owned(), count)).collect::<Vec<_>>(),
        [("to".to_owned(), 2)]
    );
    let pace = trunkline::Rate::per_second(std::num::NonZeroU32::new(2).unwrap());
    assert_eq!(survey.duration_at(pace).as_millis(), 1500);
    let price = trunkline::Money::parse("0.015", trunkline::Currency::USD).unwrap();
    assert_eq!(survey.cost_at(price).unwrap().amount(), "0.045");
}

/// Fails after its bytes.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::ErrorKind::ConnectionReset.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_file_that_breaks_ends_with_its_error() {
    let mut file = b"to,say\n".to_vec();
    (0..1000).for_each(|n| file.extend(format!("+1415555{n:04},hello\n").bytes()));
    let entries: Vec<_> = Batch::csv(Broken(Cursor::new(file)), columns()).unwrap().collect();
    assert_eq!(entries.len(), 1001);
    assert!(entries[..1000].iter().all(Result::is_ok));
    assert_eq!(entries[1000].as_ref().unwrap_err().field(), Some("file"));
}

#[test]
fn no_rejects_make_no_file() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("none-{}.rejects.csv", std::process::id()));
    let _ = std::fs::remove_file(&path);
    RejectsWriter::new(&path).unwrap();
    assert!(!path.exists());
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_every_record_has_its_line(
        body in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..400),
        whole in any::<bool>(),
    ) {
        let mut file = if whole { Vec::new() } else { b"to,say\n".to_vec() };
        // Half of them have a meaning.
        file.extend(body.iter().map(|(byte, at)| *b"\n\r,\"{}:+".get(usize::from(*at) / 16).unwrap_or(byte)));
        let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
        for entries in [csv(file.clone(), columns()), jsonl(file.clone())].into_iter().flatten() {
            let at: Vec<u64> = entries.iter().map(|entry| match entry {
                Entry::Row(row) => row.line,
                Entry::Rejected(bad) => bad.line,
                Entry::Duplicate(again) => again.line,
                _ => 0,
            }).collect();
            prop_assert!(at.is_sorted() && at.iter().all(|line| (1..=lines).contains(line)), "{at:?}");
        }
    }

    #[test]
    fn what_is_written_as_csv_is_read_back(texts in proptest::collection::vec("[a-z,;\"\r\n \u{e4}]{1,30}", 1..20)) {
        let mut file = "to,say,key\n".to_owned();
        for (n, text) in texts.iter().enumerate() {
            file.push_str(&format!("{GOOD},\"{}\",k{n}\n", format!("x{text}x").replace('"', "\"\"")));
        }
        let entries = csv(file, columns()).unwrap();
        let read: Vec<_> = entries.iter().map(say).map(str::to_owned).collect();
        prop_assert_eq!(read, texts.iter().map(|text| format!("x{text}x")).collect::<Vec<_>>());
    }
}

//! Status and export.

use serde_json::{Value, json};
use trunkline_core_types::{AttemptJournal, Class, Scope};
use trunkline_journal::SqliteJournal;

use crate::support::{Folder, Hand, at, fenced, intent, place};

#[tokio::test]
async fn status_counts_keys_by_what_is_known() {
    let folder = Folder::new();
    let journal = folder.open();
    assert_eq!(journal.status().await.unwrap(), Default::default());
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "placed-too", Class::Accepted).await;
    place(&journal, "refused", Class::Rejected(Scope::Call)).await;
    place(&journal, "unsent", Class::Unsent).await;
    place(&journal, "unknown", Class::Ambiguous).await;
    for (key, begun) in [("claimed", false), ("flying", true)] {
        let call = fenced(key, at(3_000_000_000));
        journal.claim(&call).await.unwrap();
        if begun {
            journal.begin(&call, 1).await.unwrap();
        }
    }
    for status in
        [journal.status().await.unwrap(), SqliteJournal::read_only(folder.file()).unwrap().status().unwrap()]
    {
        assert_eq!((status.claimed, status.open, status.left), (1, 2, 1));
        assert_eq!((status.accepted, status.rejected, status.free), (2, 1, 1));
        assert_eq!(status.oldest_open_fence, Some(at(3_000_000_000)));
        assert_eq!((status.unwritten, status.refused_proofs), (0, 0));
    }
}

#[tokio::test]
async fn an_export_has_a_line_a_key_and_numbers_only_on_request() {
    let folder = Folder::new();
    let clock = Hand::new();
    let journal = SqliteJournal::open(folder.file(), trunkline_journal::SqliteSettings::new(clock)).unwrap();
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "elsewhere", Class::Rejected(Scope::Account)).await;
    let call = intent("flying \u{22}quoted\u{22}".replace(' ', "-").as_str());
    journal.claim(&call).await.unwrap();
    journal.begin(&call, 1).await.unwrap();

    let view = SqliteJournal::read_only(folder.file()).unwrap();
    let mut plain = Vec::new();
    view.export(&mut plain).unwrap();
    let plain = String::from_utf8(plain).unwrap();
    assert!(!plain.contains("4155550123"), "{plain}");
    let lines: Vec<Value> = plain.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let now = "2026-01-01T00:00:00.000Z";
    assert_eq!(
        lines[0],
        json!({
            "key": "placed", "account": "main", "state": "settled", "class": "accepted", "call": null, "status": null, "claimed": now, "changed": now,
            "fence": "2096-10-02T07:06:40.000Z",
            "attempts": [{"number": 1, "account": "main", "class": "accepted", "begun": now, "ended": now}],
        })
    );
    assert_eq!(lines[1]["state"], "free");
    assert_eq!(lines[1]["attempts"][0]["class"], "rejected_account");
    assert_eq!(lines[2]["key"], "flying-\"quoted\"");
    assert_eq!((&lines[2]["class"], &lines[2]["attempts"][0]["ended"]), (&Value::Null, &Value::Null));
    assert_eq!(lines.len(), 3);

    let mut full = Vec::new();
    view.export_with_details(&mut full).unwrap();
    let first: Value = serde_json::from_slice(full.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(first["detail"], "to +14155550123");
    assert_eq!(first["reply"], "reply to +14155550123");
}

#[tokio::test]
async fn an_export_tells_when_its_output_fails() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "placed", Class::Accepted).await;
    let view = SqliteJournal::read_only(folder.file()).unwrap();
    let error = view.export(&mut Broken).unwrap_err();
    assert!(error.to_string().contains("output"), "{error}");
}

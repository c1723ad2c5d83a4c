//! Files that are locked, newer, damaged, somebody else's, or in a place that cannot be written.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use trunkline_core_types::{AttemptJournal, CallJournal, Claim, Class};
use trunkline_journal::{JournalOpenErrorKind as Kind, SqliteJournal, SqliteSettings};

use crate::support::{Folder, intent, place, settings};

#[track_caller]
fn refused(folder: &Folder, kind: Kind, word: &str) {
    let error = SqliteJournal::open(folder.file(), settings()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(word), "{error}");
    assert!(!error.to_string().contains("trunkline-journal-"), "no path: {error}");
}

fn version_1(folder: &Folder) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    conn.execute_batch(include_str!("../../src/sqlite/schema/v1.sql")).unwrap();
    conn.pragma_update(None, "application_id", 0x5452_4b4a).unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
    conn.execute_batch(
        "INSERT INTO calls VALUES
             (1, 'held', 'main', CAST('to +14155550123' AS BLOB), 4000000000000000000, 'held', NULL, NULL, 0, 1, 0, 5, 5),
             (2, 'flying', 'main', CAST('to +14155550123' AS BLOB), 4000000000000000000, 'held', NULL, NULL, 1, 1, 1, 5, 5),
             (3, 'placed', 'main', CAST('to +14155550123' AS BLOB), 4000000000000000000, 'settled', 'accepted', CAST('reply' AS BLOB), 1, 1, 1,
              4000000000000, 4000000000000);
         INSERT INTO attempts VALUES (2, 1, 1, 'main', NULL, 5, NULL), (3, 1, 1, 'main', 'accepted', 5, 6);",
    )
    .unwrap();
    conn
}

fn version_2(folder: &Folder) -> rusqlite::Connection {
    let conn = version_1(folder);
    conn.execute_batch(include_str!("../../src/sqlite/schema/v2.sql")).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    conn
}

fn version_3(folder: &Folder) -> rusqlite::Connection {
    let conn = version_2(folder);
    conn.execute_batch("UPDATE calls SET call = 'call_9', said = 'queued' WHERE key = 'placed'").unwrap();
    conn.execute_batch(include_str!("../../src/sqlite/schema/v3.sql")).unwrap();
    conn.pragma_update(None, "user_version", 3).unwrap();
    conn
}

#[tokio::test]
async fn a_file_of_version_2_knows_whose_its_calls_are() {
    let folder = Folder::new();
    let conn = version_2(&folder);
    conn.execute_batch(
        "UPDATE calls SET call = 'call_9', said = 'queued' WHERE key = 'placed';
         INSERT INTO heard_calls VALUES (1, 'main', 'call_8', 'heard', 'ringing', 0, '2026-01-31T08:00:00Z', 4000000000000)",
    )
    .unwrap();
    drop(conn);
    let journal = folder.open();
    for (call, key) in [("main/call_9", Some("placed")), ("main/call_8", Some("heard")), ("b/call_9", None)] {
        let told = CallJournal::key_of(&journal, &call.parse().unwrap()).await.unwrap();
        assert_eq!(told.as_ref().map(|key| key.as_str()), key, "{call}");
    }
}

#[tokio::test]
async fn every_earlier_version_opens() {
    let earlier: [fn(&Folder) -> rusqlite::Connection; 3] = [version_1, version_2, version_3];
    for (version, make) in (1..).zip(earlier) {
        let folder = Folder::new();
        drop(make(&folder));
        let journal = folder.open();
        assert_eq!(
            journal.claim(&intent("held")).await.unwrap(),
            Claim::Go { number: 1 },
            "version {version}"
        );
        assert_eq!(journal.claim(&intent("flying")).await.unwrap(), Claim::Open);
        let reply = Some("reply".into());
        assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Settled(Class::Accepted, reply));
        journal.integrity_check().await.unwrap();
        let call = "main/call_1".parse().unwrap();
        assert_eq!(CallJournal::state(&journal, &call).await.unwrap(), None);
        journal.close().await;
        let conn = rusqlite::Connection::open(folder.file()).unwrap();
        let now: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(now as usize, earlier.len(), "a version without a fixture here");
    }
}

#[test]
fn a_reader_says_that_a_file_is_of_an_earlier_version() {
    let folder = Folder::new();
    drop(version_1(&folder));
    let refused = SqliteJournal::read_only(folder.file()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Older);
    assert!(refused.to_string().contains("version 1"), "{refused}");
}

#[test]
fn a_file_from_a_newer_version_is_left_alone() {
    let folder = Folder::new();
    let conn = version_1(&folder);
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let before = fs::read(folder.file()).unwrap();
    refused(&folder, Kind::Newer, "version 99");
    assert_eq!(SqliteJournal::read_only(folder.file()).unwrap_err().kind(), Kind::Newer);
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

#[tokio::test]
async fn a_second_writer_is_told_and_a_reader_is_not_hindered() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "placed", Class::Accepted).await;
    journal.flush().await.unwrap();
    refused(&folder, Kind::Locked, "another process");
    let other_name = folder.path().join("other-name");
    std::os::unix::fs::symlink(folder.file(), &other_name).unwrap();
    assert_eq!(SqliteJournal::open(&other_name, settings()).unwrap_err().kind(), Kind::Locked);
    let view = SqliteJournal::read_only(folder.file()).unwrap();
    assert_eq!(view.status().unwrap().accepted, 1);
    drop(journal);
    assert_eq!(view.status().unwrap().accepted, 1);
    drop(folder.open());
}

#[tokio::test]
async fn a_damaged_file_is_told_at_the_start_or_by_the_check() {
    let folder = Folder::new();
    let journal = folder.open();
    for i in 0..200 {
        place(&journal, &format!("placed-{i}"), Class::Accepted).await;
    }
    journal.close().await;
    drop(journal);
    let whole = fs::read(folder.file()).unwrap();

    // Many pages, and only the last, which nothing but the check looks at.
    for hole in [3 * 4096..9 * 4096, whole.len() - 4096..whole.len()] {
        let mut holed = whole.clone();
        holed[hole].fill(0xa5);
        fs::write(folder.file(), &holed).unwrap();
        refused(&folder, Kind::Corrupt, "backup");
        assert_eq!(fs::read(folder.file()).unwrap(), holed, "kept as it was");
    }

    fs::write(folder.file(), &whole[..whole.len() / 2]).unwrap();
    refused(&folder, Kind::Corrupt, "backup");

    // A row that an index does not know: only the whole check sees it.
    fs::write(folder.file(), &whole).unwrap();
    let journal = folder.open();
    journal.integrity_check().await.unwrap();
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF; INSERT INTO attempts VALUES (9999, 1, 1, 'main', NULL, 0, NULL);",
    )
    .unwrap();
    let error = journal.integrity_check().await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.file(), "to,text\n+14155550123,hello\n".repeat(100)).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    refused(&folder, Kind::Foreign, "another path");
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock lies beside it");
    fs::remove_file(folder.file()).unwrap();
    rusqlite::Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE x (y); ").unwrap();
    refused(&folder, Kind::Foreign, "something else");
    assert_eq!(SqliteJournal::read_only(folder.file()).unwrap_err().kind(), Kind::Foreign);
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    // Nobody may make a file there, root neither.
    let error = SqliteJournal::open("/proc/calls.journal", settings()).unwrap_err();
    assert_eq!(error.kind(), Kind::Access, "{error:?}");
    assert!(error.to_string().contains("folder") && error.source().is_some(), "{error}");
    let folder = Folder::new();
    let missing = SqliteJournal::open(folder.path().join("missing/calls.journal"), settings()).unwrap_err();
    assert_eq!(missing.kind(), Kind::Access);
    let a_folder = SqliteJournal::open(folder.path(), settings()).unwrap_err();
    assert_eq!(a_folder.kind(), Kind::Access, "{a_folder:?}");
    let nothing = SqliteJournal::read_only(folder.file()).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Access);
    assert!(!folder.file().exists(), "a reader makes nothing");
}

#[test]
fn a_file_that_finds_no_room_is_told() {
    let folder = Folder::new();
    let tight = SqliteSettings { max_bytes: Some(8_192), ..settings() };
    assert_eq!(SqliteJournal::open(folder.file(), tight).unwrap_err().kind(), Kind::Full);
    drop(folder.open());
}

#[tokio::test]
async fn only_the_owner_reads_it() {
    let folder = Folder::new();
    fs::write(folder.file(), "").unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let journal = folder.open();
    place(&journal, "placed", Class::Accepted).await;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let all = ["calls.journal", "calls.journal-shm", "calls.journal-wal", "calls.journal.lock"];
    assert_eq!(names, all);
}

#[tokio::test]
async fn the_file_itself_refuses_what_may_not_be() {
    let folder = Folder::new();
    let journal = folder.open();
    let call = intent("flying");
    journal.claim(&call).await.unwrap();
    journal.begin(&call, 1).await.unwrap();
    place(&journal, "placed", Class::Accepted).await;
    journal.flush().await.unwrap();
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    for (change, word) in [
        ("INSERT INTO attempts VALUES (1, 2, 1, 'main', NULL, 0, NULL)", "UNIQUE"),
        (
            "INSERT INTO calls SELECT 99, key, account, detail, fence_ns, state, class, reply, 1, 1, 1, 0, 0, NULL, NULL FROM calls",
            "UNIQUE",
        ),
        ("UPDATE calls SET class = 'rejected' WHERE key = 'placed'", "stays"),
        ("UPDATE calls SET state = 'free', class = NULL WHERE key = 'placed'", "stays"),
        ("UPDATE calls SET state = 'settled' WHERE key = 'flying'", "CHECK"),
    ] {
        let error = conn.execute_batch(change).unwrap_err().to_string();
        assert!(error.contains(word), "{change}: {error}");
    }
    // One key that the file refuses does not hold up the others.
    conn.execute_batch("UPDATE attempts SET class = 'unsent' WHERE call = 1; INSERT INTO attempts VALUES (1, 7, 1, 'main', NULL, 0, NULL)").unwrap();
    journal.end(&call.key, 1, Class::Unsent, None).unwrap();
    let (refused, ()) = tokio::join!(journal.begin(&call, 2), place(&journal, "fine", Class::Accepted));
    assert!(refused.is_err());
    place(&journal, "fine-too", Class::Accepted).await;
    assert_eq!(journal.status().await.unwrap().unwritten, 1);
}

#[tokio::test]
async fn debug_and_errors_show_no_number() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "order-14155550123", Class::Accepted).await;
    let view = SqliteJournal::read_only(folder.file()).unwrap();
    let error = journal.begin(&intent("order-14155550123"), 2).await.unwrap_err();
    let text = format!("{journal:?} {view:?} {error} {error:?} {:?}", journal.status().await);
    assert!(!text.contains("4155550"), "{text}");
}

#[test]
fn it_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moved<T: Send + 'static>() {}
    shared::<SqliteJournal>();
    moved::<trunkline_journal::JournalView>();
}

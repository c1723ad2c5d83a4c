//! The hold that SQLite has on the file for the writer: nothing else in this process may give it up.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use trunkline_journal::{JournalOpenErrorKind, SqliteJournal};

use crate::support::{Folder, settings};

/// Whether this process holds a POSIX lock on the file. Without one an operator's shell of an SQLite before 3.51 takes itself for the last
/// that has it open, and removes the log from under the writer. See https://sqlite.org/howtocorrupt.html, section 2.2.
fn is_held(folder: &Folder) -> bool {
    let file = format!(":{} ", fs::metadata(folder.file()).unwrap().ino());
    fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&file))
}

#[tokio::test]
async fn a_look_or_a_refused_open_gives_up_no_lock_of_the_writer() {
    let folder = Folder::new();
    let journal = folder.open();
    assert!(is_held(&folder));
    journal.status().await.unwrap();
    assert!(is_held(&folder), "a status");
    let view = SqliteJournal::read_only(folder.file()).unwrap();
    assert!(is_held(&folder), "a view");
    drop(view);
    assert!(is_held(&folder), "the end of a view");
    let refused = SqliteJournal::open(folder.file(), settings()).unwrap_err();
    assert_eq!(refused.kind(), JournalOpenErrorKind::Locked);
    assert!(is_held(&folder), "a second open");
}

#[test]
fn a_writer_that_is_opened_beside_a_view_has_its_lock() {
    let folder = Folder::new();
    drop(folder.open());
    let view = SqliteJournal::read_only(folder.file()).unwrap();
    assert_eq!(view.status().unwrap().open, 0);
    let journal = folder.open();
    assert!(is_held(&folder));
    drop(view);
    assert!(is_held(&folder));
    drop(journal);
    assert!(!is_held(&folder));
}

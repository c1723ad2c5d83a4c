//! A journal's file to write rows into, as this version makes it or as an earlier one did.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::Connection;
use trunkline_core_types::{Intent, SystemClock};
use trunkline_journal::{SqliteJournal, SqliteSettings};

/// Later than any fence that is not at the end of time.
pub(crate) const FAR: Duration = Duration::from_secs(4_000_000_000);

pub(crate) fn settings() -> SqliteSettings {
    let mut settings = SqliteSettings::new(Arc::new(SystemClock::new()));
    // Nothing is old: what is swept may be dialled.
    settings.retention = FAR;
    settings
}

pub(crate) fn intent(detail: &[u8]) -> Arc<Intent> {
    let (Ok(key), Ok(account)) = ("k-1".parse(), "main".parse()) else { unreachable!("words") };
    let fence = SystemTime::UNIX_EPOCH + FAR;
    Arc::new(Intent { key, account, detail: Bytes::copy_from_slice(detail), fence })
}

/// An empty line is no word.
pub(crate) fn word(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A folder with a fresh journal, gone with the input; in memory where the machine has such a place.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static FRESH: OnceLock<Vec<u8>> = OnceLock::new();
        let folder = Self::empty();
        let fresh = FRESH.get_or_init(|| {
            drop(SqliteJournal::open(folder.journal(), settings()));
            done(fs::read(folder.journal()))
        });
        done(fs::write(folder.journal(), fresh));
        folder
    }

    /// As version 2 made it.
    pub(crate) fn version_2() -> Self {
        let folder = Self::empty();
        let conn = folder.open();
        for step in [include_str!("../../crates/journal/src/sqlite/schema/v1.sql"), V2] {
            done(conn.execute_batch(step));
        }
        done(conn.pragma_update(None, "application_id", 0x5452_4b4a));
        done(conn.pragma_update(None, "user_version", 2));
        folder
    }

    fn empty() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = Self(root.join(format!("trunkline-fuzz-{}", std::process::id())));
        done(fs::create_dir_all(&folder.0));
        folder
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub(crate) fn open(&self) -> Connection {
        done(Connection::open(self.journal()))
    }
}

const V2: &str = include_str!("../../crates/journal/src/sqlite/schema/v2.sql");

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn done<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

//! Folders, clocks and calls of these tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use trunkline_core_types::{AttemptJournal, BoxFuture, Claim, Class, Clock, Intent, SystemClock};
use trunkline_journal::{SqliteJournal, SqliteSettings};

/// A folder of one test, gone with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("trunkline-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("calls.journal")
    }

    pub(crate) fn open(&self) -> SqliteJournal {
        SqliteJournal::open(self.file(), settings()).unwrap()
    }

    /// The file refuses to change the state of the key `unknown` until the trigger `stuck` is dropped.
    pub(crate) fn stuck(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(self.file()).unwrap();
        conn.execute_batch(
            "CREATE TRIGGER stuck BEFORE UPDATE OF state ON calls WHEN OLD.key = 'unknown' BEGIN SELECT raise(ABORT, 'not now'); END",
        )
        .unwrap();
        conn
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn settings() -> SqliteSettings {
    SqliteSettings::new(Arc::new(SystemClock::new()))
}

/// A clock whose wall and monotonic time move together by hand.
#[derive(Debug)]
pub(crate) struct Hand {
    start: Instant,
    wall: Mutex<SystemTime>,
    moved: Mutex<Duration>,
}

impl Hand {
    /// 2026-01-01.
    pub(crate) fn new() -> Arc<Self> {
        let (wall, moved) = (Mutex::new(at(1_767_225_600)), Mutex::default());
        Arc::new(Self { start: SystemClock::new().now(), wall, moved })
    }

    pub(crate) fn forward(&self, time: Duration) {
        *self.wall.lock().unwrap() += time;
        *self.moved.lock().unwrap() += time;
    }

    pub(crate) fn set_wall_back(&self, time: Duration) {
        *self.wall.lock().unwrap() -= time;
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        self.start + *self.moved.lock().unwrap()
    }
    fn wall(&self) -> SystemTime {
        *self.wall.lock().unwrap()
    }
    fn sleep_until(&self, _at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn intent(key: &str) -> Arc<Intent> {
    fenced(key, at(4_000_000_000))
}

pub(crate) fn fenced(key: &str, fence: SystemTime) -> Arc<Intent> {
    let (key, account) = (key.parse().unwrap(), "main".parse().unwrap());
    Arc::new(Intent { key, account, detail: "to +14155550123".into(), fence })
}

/// One call from claim to settle.
pub(crate) async fn place(journal: &dyn AttemptJournal, key: &str, class: Class) {
    let intent = intent(key);
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 }, "{key}");
    journal.begin(&intent, 1).await.unwrap();
    journal.end(&intent.key, 1, class, Some("reply to +14155550123".into())).unwrap();
    journal.settle(&intent.key, class, None).unwrap();
}

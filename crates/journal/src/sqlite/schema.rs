//! The file: its lock, its mode, its schema, and what a new process finds in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{CORRUPT, JournalOpenError, JournalOpenErrorKind as Kind};
use super::settings::SqliteSettings;

/// Marks the file as ours: "TRKJ".
const APPLICATION_ID: i32 = 0x5452_4b4a;

/// The steps from an empty file to today's schema; the file's `user_version` counts those it has taken. Append only.
pub(super) const MIGRATIONS: [&str; 3] =
    [include_str!("schema/v1.sql"), include_str!("schema/v2.sql"), include_str!("schema/v3.sql")];

/// How long a step waits for another connection, a reader's or an operator's.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the file as its one writer. The lock is held as long as the [`LockFile`] lives.
pub(super) fn open(
    path: &Path,
    settings: &SqliteSettings,
) -> Result<(Connection, LockFile), JournalOpenError> {
    made(path)?;
    // Whatever name leads to the file, its lock is one.
    let unreadable = |source| JournalOpenError::access("the file's path cannot be followed", source);
    let path = &path.canonicalize().map_err(unreadable)?;
    // Somebody else's is left as it is, without a lock beside it.
    version(&connected(path)?)?;
    let lock = lock(path)?;
    let mut conn = connected(path)?;
    owner_only(path)?;
    let version = version(&conn)?;
    quick_check(&conn)?;
    configure(&conn, settings)?;
    migrate(&mut conn, version)?;
    recover(&conn, settings)?;
    Ok((conn, lock))
}

fn connected(path: &Path) -> Result<Connection, JournalOpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    if conn.is_readonly(rusqlite::MAIN_DB)? {
        return Err(JournalOpenError::new(Kind::Access, "the file cannot be written; check its permissions"));
    }
    Ok(conn)
}

/// Opens the file to read, beside a running writer or after it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, JournalOpenError> {
    let missing =
        |source| JournalOpenError::access("the file cannot be read; check path and permissions", source);
    path.metadata().map_err(missing)?;
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, read)?;
    conn.busy_timeout(BUSY)?;
    let (version, conn) = match version(&conn) {
        // Without a log beside it the file is complete, so it can be read where not even a reader may write, such as a mounted backup.
        Err(error) if error.kind() == Kind::Access && !beside(path, "-wal").exists() => {
            let uri = format!("file:{}?immutable=1", escaped(path)?);
            let conn = Connection::open_with_flags(uri, read | OpenFlags::SQLITE_OPEN_URI)?;
            (version(&conn)?, conn)
        }
        checked => (checked?, conn),
    };
    if version == 0 {
        return Err(JournalOpenError::new(Kind::Foreign, "the file is empty; no journal was begun in it"));
    }
    if version < newest() {
        let message = format!(
            "the file has version {version} and this program reads {}; a run that writes it brings it up to date",
            newest()
        );
        return Err(JournalOpenError::new(Kind::Older, message));
    }
    Ok(conn)
}

/// The newest schema that this crate knows.
pub(super) fn newest() -> u32 {
    MIGRATIONS.len() as u32
}

/// The lock of the one writer. It is given up by word and not by closing alone: a child process that is being started holds a copy of
/// every descriptor for a moment, and the lock with it.
#[derive(Debug)]
pub(super) struct LockFile(File);

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn lock(path: &Path) -> Result<LockFile, JournalOpenError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = private(&mut options).open(beside(path, ".lock"));
    let message = "its lock file cannot be made beside it; check that the folder can be written";
    let file = file.map_err(|source| JournalOpenError::access(message, source))?;
    match file.try_lock() {
        Ok(()) => Ok(LockFile(file)),
        Err(TryLockError::WouldBlock) => Err(JournalOpenError::new(
            Kind::Locked,
            "another process writes this file; stop it, or open the file read-only",
        )),
        Err(TryLockError::Error(source)) => {
            Err(JournalOpenError::access("its lock file cannot be locked; use a local disk", source))
        }
    }
}

/// Makes the file if it is missing, readable by its owner only; SQLite gives its log the same mode.
///
/// One that is there is opened by SQLite alone: whoever closes a file gives up every lock that the process has on it, the writer's too
/// (https://sqlite.org/howtocorrupt.html, section 2.2), and an operator's shell may then take the log from under it.
fn made(path: &Path) -> Result<(), JournalOpenError> {
    // Two that make it at once would be such a case.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let message =
        "the file cannot be made or written; check that its folder exists, and the permissions of both";
    let access = |source| JournalOpenError::access(message, source);
    if !path.try_exists().map_err(access)? {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        private(&mut options).open(path).map_err(access)?;
    }
    Ok(())
}

fn owner_only(path: &Path) -> Result<(), JournalOpenError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let access = |source| JournalOpenError::access("the file's mode cannot be set to 0600", source);
        let mut permissions = path.metadata().map_err(access)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o600);
            fs::set_permissions(path, permissions).map_err(access)?;
        }
    }
    Ok(())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether the file is ours and not newer; its schema version, 0 if it is empty.
fn version(conn: &Connection) -> Result<u32, JournalOpenError> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        let message = "the file is a database of something else; choose another path";
        return Err(JournalOpenError::new(Kind::Foreign, message));
    }
    let known = u32::try_from(version).ok().filter(|version| *version <= newest());
    let newer = || {
        let message =
            format!("the file has version {version} and this program knows {}; upgrade it", newest());
        JournalOpenError::new(Kind::Newer, message)
    };
    known.ok_or_else(newer)
}

fn quick_check(conn: &Connection) -> Result<(), JournalOpenError> {
    let found = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
    if found != "ok" {
        return Err(JournalOpenError::new(Kind::Corrupt, CORRUPT));
    }
    Ok(())
}

fn configure(conn: &Connection, settings: &SqliteSettings) -> Result<(), JournalOpenError> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let message = "the file cannot keep a write-ahead log; use a local disk";
        return Err(JournalOpenError::new(Kind::Store, message));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    // Numbers of deleted rows are overwritten, not only unlinked.
    conn.pragma_update(None, "secure_delete", "ON")?;
    if let Some(bytes) = settings.max_bytes {
        let page: u64 = conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        let pages = (bytes / page.max(1)).clamp(1, u64::from(u32::MAX - 1));
        conn.pragma_update(None, "max_page_count", pages as u32)?;
    }
    Ok(())
}

fn migrate(conn: &mut Connection, from: u32) -> Result<(), JournalOpenError> {
    for (version, step) in (1u32..).zip(MIGRATIONS).skip(from as usize) {
        let tx = conn.transaction()?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

/// What the process before held: free if no attempt began, else open until there is proof.
fn recover(conn: &Connection, settings: &SqliteSettings) -> Result<(), JournalOpenError> {
    let now = super::rows::millis(settings.clock.wall());
    // Both conditions, so that the index of open calls serves.
    conn.execute(
        "UPDATE calls SET state = iif(tried = 0, 'free', 'left'), changed_ms = ?1
         WHERE state IN ('held', 'left') AND state = 'held'",
        [now],
    )?;
    Ok(())
}

/// A journal that no other connection sees, for models.
#[cfg(all(test, trunkline_loom))]
pub(super) fn in_memory(and: &str) -> (Connection, LockFile) {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate(&mut conn, 0).unwrap();
    conn.execute_batch(and).unwrap();
    (conn, LockFile(File::open("/dev/null").unwrap()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path inside a URI.
fn escaped(path: &Path) -> Result<String, JournalOpenError> {
    let text = path.to_str().ok_or_else(|| {
        JournalOpenError::new(Kind::Access, "the path is not UTF-8, which a file on a read-only disk needs")
    })?;
    Ok(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use trunkline_core_types::SystemClock;

    #[test]
    fn a_commit_reaches_the_disk_and_a_deletion_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("trunkline-schema-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (conn, _lock) =
            open(&folder.join("journal"), &SqliteSettings::new(Arc::new(SystemClock::new()))).unwrap();
        // Full is 2.
        for (pragma, want) in [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)] {
            let value: i64 = conn.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
            assert_eq!(value, want, "{pragma}");
        }
        let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_path_is_escaped_in_a_uri() {
        assert_eq!(escaped(Path::new("/a b/50%?#.journal")).unwrap(), "/a b/50%25%3f%23.journal");
    }
}

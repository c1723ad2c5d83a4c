//! The file as a reader sees it: counts, export, integrity. Beside a running writer or after it.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, Row};
use serde_json::{Map, Value};
use trunkline_core_types::{JournalError, JournalErrorKind};

use super::error::{CORRUPT, JournalOpenError, failed};
use super::rows::from_nanos;
use super::schema;

/// A journal's file, opened to read: also while another process writes it, which it neither disturbs nor waits for.
///
/// Its methods block on the disk, so call them from a thread of their own, not from an async task. It sees what is committed.
pub struct JournalView {
    conn: Connection,
}

/// Counts of a journal's keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JournalStatus {
    /// Claimed, no attempt yet.
    pub claimed: u64,
    /// With an attempt and without an answer: running, or unknown.
    pub open: u64,
    /// Those of `open` whose claimer is gone or gave up: only a proof ends them.
    pub left: u64,
    /// Settled as `Accepted`.
    pub accepted: u64,
    /// Settled as `Rejected` for the call itself.
    pub rejected: u64,
    /// Tried or claimed before, held by nobody: the next claim dials.
    pub free: u64,
    /// The earliest fence of the open ones.
    pub oldest_open_fence: Option<SystemTime>,
    /// Keys whose last change could not be written yet, and proofs whose key could not be read; it is tried again. 0 in a [`JournalView`], which sees only the file.
    pub unwritten: u64,
    /// Proofs since the start that came for a key in the file and did not fit it. 0 in a [`JournalView`].
    pub refused_proofs: u64,
}

impl JournalView {
    pub(super) fn open(path: &Path) -> Result<Self, JournalOpenError> {
        schema::open_to_read(path).map(|conn| Self { conn })
    }

    /// Counts of one moment. Cost: one pass over two indexes, about 0.1 s for a million keys.
    ///
    /// # Errors
    /// [`JournalErrorKind::Store`].
    pub fn status(&self) -> Result<JournalStatus, JournalError> {
        self.counts().map_err(|error| failed("status", error))
    }

    fn counts(&self) -> rusqlite::Result<JournalStatus> {
        let tx = self.conn.unchecked_transaction()?;
        let mut status = JournalStatus::default();
        tx.query_row(
            "SELECT total(tried = 0), total(tried > 0), total(tried > 0 AND state = 'left'), min(iif(tried > 0, fence_ns, NULL))
             FROM calls WHERE state IN ('held', 'left')",
            [],
            |row| {
                (status.claimed, status.open, status.left) = (count(row, 0)?, count(row, 1)?, count(row, 2)?);
                status.oldest_open_fence = row.get::<_, Option<i64>>(3)?.map(from_nanos);
                Ok(())
            },
        )?;
        tx.query_row(
            "SELECT total(class = 'accepted'), total(class = 'rejected'), total(state = 'free')
             FROM calls WHERE state IN ('settled', 'free')",
            [],
            |row| {
                (status.accepted, status.rejected, status.free) =
                    (count(row, 0)?, count(row, 1)?, count(row, 2)?);
                Ok(())
            },
        )?;
        Ok(status)
    }

    /// How many placed calls stand where, as their events tell it, or as the reply of their placement did: the provider's word and a
    /// count, most first. Calls of which neither told are counted under `unknown`. Cost: one pass over the file.
    ///
    /// # Errors
    /// [`JournalErrorKind::Store`].
    pub fn call_states(&self) -> Result<Vec<(String, u64)>, JournalError> {
        let states = || {
            let mut states = self.conn.prepare(STATES)?;
            let rows = states.query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, u64)>>>()
        };
        states().map_err(|error| failed("call_states", error))
    }

    /// Reads the whole file and its indexes.
    ///
    /// # Errors
    /// [`JournalErrorKind::Store`] if it is damaged or cannot be read.
    pub fn integrity_check(&self) -> Result<(), JournalError> {
        let check = || {
            let found: String = self.conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let mut orphans = self.conn.prepare("PRAGMA foreign_key_check")?;
            Ok(found == "ok" && !orphans.exists([])?)
        };
        match check().map_err(|error| failed("integrity_check", error))? {
            true => Ok(()),
            false => Err(JournalError::new(JournalErrorKind::Store, CORRUPT)),
        }
    }

    /// Writes every key as one line of JSON, oldest row first, without details and replies, which hold phone numbers:
    /// `{"key", "account", "state", "class", "call", "status", "claimed", "changed", "fence", "attempts": [{"number", "account", "class", "begun", "ended"}]}`.
    ///
    /// `state` is `held`, `left`, `settled` or `free`; `call` is the provider's id and `status` the call's as its events tell it, or as
    /// the reply of its placement did; times are RFC 3339 in UTC; what is not known is null. Memory does not grow with
    /// the file. One moment of the file, also while it is written.
    ///
    /// # Errors
    /// [`JournalErrorKind::Store`], also if `to` fails.
    pub fn export(&self, to: &mut dyn Write) -> Result<(), JournalError> {
        self.export_rows(to, false)
    }

    /// As [`export`](Self::export), and with `detail` and `reply` of each key as text, **phone numbers in clear**.
    ///
    /// # Errors
    /// [`JournalErrorKind::Store`], also if `to` fails.
    pub fn export_with_details(&self, to: &mut dyn Write) -> Result<(), JournalError> {
        self.export_rows(to, true)
    }

    fn export_rows(&self, to: &mut dyn Write, details: bool) -> Result<(), JournalError> {
        let store = |error| failed("export", error);
        let tx = self.conn.unchecked_transaction().map_err(store)?;
        let mut calls = tx.prepare(CALLS).map_err(store)?;
        let mut attempts = tx.prepare(ATTEMPTS).map_err(store)?;
        let mut rows = calls.query([]).map_err(store)?;
        while let Some(row) = rows.next().map_err(store)? {
            let mut line = object(row, &CALL_FIELDS).map_err(store)?;
            let id: i64 = row.get("id").map_err(store)?;
            let found = attempts.query_map([id], |row| object(row, &ATTEMPT_FIELDS).map(Value::Object));
            let found = found.and_then(Iterator::collect).map_err(store)?;
            line.insert("attempts".into(), Value::Array(found));
            if details {
                for field in ["detail", "reply"] {
                    let bytes: Option<Vec<u8>> = row.get(field).map_err(store)?;
                    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    line.insert(field.into(), text.into());
                }
            }
            writeln!(to, "{}", Value::Object(line)).map_err(written)?;
        }
        to.flush().map_err(written)
    }
}

impl fmt::Debug for JournalView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalView").finish_non_exhaustive()
    }
}

const STATES: &str = "SELECT coalesce(status, said, 'unknown') AS told, total(1) AS calls
    FROM calls LEFT JOIN heard_calls ON heard_calls.account = calls.account AND heard_calls.call = calls.call
    WHERE state = 'settled' AND class = 'accepted' GROUP BY told ORDER BY calls DESC, told";

const CALL_FIELDS: [&str; 9] =
    ["key", "account", "state", "class", "call", "status", "claimed", "changed", "fence"];
const CALLS: &str = "SELECT calls.id, calls.key, calls.account, state, class, detail, reply, calls.call, coalesce(status, said) AS status,
    strftime('%Y-%m-%dT%H:%M:%fZ', claimed_ms / 1000.0, 'unixepoch') AS claimed,
    strftime('%Y-%m-%dT%H:%M:%fZ', changed_ms / 1000.0, 'unixepoch') AS changed,
    strftime('%Y-%m-%dT%H:%M:%fZ', fence_ns / 1000000000.0, 'unixepoch') AS fence
    FROM calls LEFT JOIN heard_calls ON heard_calls.account = calls.account AND heard_calls.call = calls.call
    ORDER BY calls.id";

const ATTEMPT_FIELDS: [&str; 4] = ["account", "class", "begun", "ended"];
const ATTEMPTS: &str = "SELECT number, account, class,
    strftime('%Y-%m-%dT%H:%M:%fZ', begun_ms / 1000.0, 'unixepoch') AS begun,
    strftime('%Y-%m-%dT%H:%M:%fZ', ended_ms / 1000.0, 'unixepoch') AS ended
    FROM attempts WHERE call = ?1 ORDER BY number";

/// Text columns as a JSON object, and the number of an attempt.
fn object(row: &Row<'_>, fields: &[&'static str]) -> rusqlite::Result<Map<String, Value>> {
    let mut object = Map::new();
    if let Ok(number) = row.get::<_, u32>("number") {
        object.insert("number".into(), number.into());
    }
    for field in fields {
        object.insert((*field).into(), row.get::<_, Option<String>>(*field)?.into());
    }
    Ok(object)
}

/// `total` is a float in SQL, exact up to 2⁵³.
fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, f64>(at).map(|total| total as u64)
}

fn written(error: std::io::Error) -> JournalError {
    JournalError::new(JournalErrorKind::Store, "export: the output cannot be written; see the cause")
        .with_source(error)
}

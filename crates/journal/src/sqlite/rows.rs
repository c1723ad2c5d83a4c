//! Rows of the file: an entry read from them, an image of an entry written to them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, named_params, params};
use trunkline_core_types::{Class, IdempotencyKey, Intent, Scope};

use super::entry::{Entry, Image, Life};
use crate::life::{Open, Tried};

/// The statements of the writer, prepared once.
#[derive(Debug)]
pub(super) struct Rows<'c> {
    call: Statement<'c>,
    attempts: Statement<'c>,
    insert: Statement<'c>,
    update: Statement<'c>,
    attempt: Statement<'c>,
    open: Statement<'c>,
    old: Statement<'c>,
    delete: Statement<'c>,
}

type Sql<T> = rusqlite::Result<T>;

impl<'c> Rows<'c> {
    pub(super) fn new(conn: &'c Connection) -> Sql<Self> {
        Ok(Self {
            call: conn.prepare(
                "SELECT id, key, account, detail, fence_ns, state, class, reply, last_number, claims FROM calls WHERE key = ?1",
            )?,
            attempts: conn
                .prepare("SELECT number, class FROM attempts WHERE call = ?1 AND claim = ?2 ORDER BY number")?,
            insert: conn.prepare(
                "INSERT INTO calls (key, account, detail, fence_ns, state, class, reply, last_number, claims, tried, claimed_ms, changed_ms,
                                    call, said)
                 VALUES (:key, :account, :detail, :fence, :state, :class, :reply, :last, :claims, :tried, :now, :now, :call, :said)",
            )?,
            update: conn.prepare(
                "UPDATE calls SET account = :account, fence_ns = :fence, state = :state, class = :class, reply = :reply,
                 last_number = :last, claimed_ms = iif(claims = :claims, claimed_ms, :now), claims = :claims, tried = :tried,
                 changed_ms = :now, call = coalesce(:call, call), said = coalesce(:said, said) WHERE id = :id",
            )?,
            attempt: conn.prepare(
                "INSERT INTO attempts (call, number, claim, account, class, begun_ms, ended_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?5 IS NULL, NULL, ?6))
                 ON CONFLICT (call, number) DO UPDATE SET class = excluded.class, ended_ms = excluded.ended_ms",
            )?,
            open: conn.prepare(
                "SELECT key, account, detail, fence_ns FROM calls WHERE state IN ('held', 'left') AND tried > 0
                 AND fence_ns < ?1 AND key > ?2 ORDER BY key LIMIT ?3",
            )?,
            old: conn.prepare(
                "SELECT id, key FROM calls WHERE state IN ('settled', 'free') AND changed_ms < ?1 ORDER BY changed_ms LIMIT ?2",
            )?,
            delete: conn.prepare("DELETE FROM calls WHERE id = ?1")?,
        })
    }

    /// What the file holds of a key.
    pub(super) fn load(&mut self, key: &IdempotencyKey) -> Sql<Option<Entry>> {
        let found = self.call.query_row([key.as_str()], |row| {
            let state: String = row.get(5)?;
            let class = row.get::<_, Option<String>>(6)?.map(|word| class(6, &word)).transpose()?;
            let reply = row.get::<_, Option<Vec<u8>>>(7)?.map(Bytes::from);
            Ok((row.get(0)?, intent(row, 1)?, state, class, reply, row.get(8)?, row.get(9)?))
        });
        let Some((id, intent, state, answer, reply, last, claims)) = found.optional()? else {
            return Ok(None);
        };
        let attempts = self.attempts.query_map(params![id, claims], |row| {
            let known = row.get::<_, Option<String>>(1)?.map(|word| class(1, &word)).transpose()?;
            Ok((row.get(0)?, known))
        })?;
        let tried = Tried::restored(last, attempts.collect::<Sql<_>>()?);
        let open = Open::restored(Arc::new(intent), tried);
        let life = match (state.as_str(), answer) {
            ("held" | "left", _) => Life::Held(open),
            (_, answer) => Life::Ended { intent: open.intent.clone(), ended: open.ended(answer), reply },
        };
        Ok(Some(Entry::stored(id, claims, life)))
    }

    /// Writes an image; the id of its row. Belongs into a transaction.
    pub(super) fn write(&mut self, image: &Image, now: SystemTime) -> Sql<i64> {
        let now = millis(now);
        let (class, reply) = match &image.answer {
            Some((class, reply)) => (Some(word(*class)), reply.as_deref()),
            None => (None, None),
        };
        let intent = &image.intent;
        let (call, said) = image.placed.as_ref().map(|(id, said)| (id.as_str(), said.as_str())).unzip();
        let id = match image.id {
            Some(id) => {
                let changed = self.update.execute(named_params! {
                    ":id": id, ":account": intent.account.as_str(), ":fence": nanos(intent.fence), ":state": image.state,
                    ":class": class, ":reply": reply, ":last": image.last, ":claims": image.claims, ":tried": image.tried,
                    ":now": now, ":call": call, ":said": said,
                })?;
                if changed == 1 { id } else { return Err(rusqlite::Error::StatementChangedRows(changed)) }
            }
            None => self.insert.insert(named_params! {
                ":key": intent.key.as_str(), ":account": intent.account.as_str(), ":detail": intent.detail.as_ref(),
                ":fence": nanos(intent.fence), ":state": image.state, ":class": class, ":reply": reply,
                ":last": image.last, ":claims": image.claims, ":tried": image.tried, ":now": now,
                ":call": call, ":said": said,
            })?,
        };
        for change in &image.changes {
            let account = change.account.as_str();
            self.attempt.execute(params![id, change.number, change.claim, account, change.class, now])?;
        }
        Ok(id)
    }

    /// A page of open calls with at least one attempt.
    pub(super) fn open_calls(
        &mut self,
        fenced_before: SystemTime,
        after: Option<&IdempotencyKey>,
        limit: usize,
    ) -> Sql<Vec<Arc<Intent>>> {
        let after = after.map_or("", |key| key.as_str());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.open.query_map(params![nanos(fenced_before), after, limit], |row| intent(row, 0))?;
        rows.map(|row| row.map(Arc::new)).collect()
    }

    /// Ended keys that last changed before `before`, oldest first.
    pub(super) fn old(&mut self, before: SystemTime, limit: u32) -> Sql<Vec<(i64, IdempotencyKey)>> {
        let rows =
            self.old.query_map(params![millis(before), limit], |row| Ok((row.get(0)?, parsed(row, 1)?)))?;
        rows.collect()
    }

    /// Deletes a key with its attempts.
    pub(super) fn delete(&mut self, id: i64) -> Sql<()> {
        self.delete.execute([id]).map(|_| ())
    }
}

/// Milliseconds since 1970; the far ends of time stay representable.
pub(super) fn millis(at: SystemTime) -> i64 {
    since_1970(at, |span| span.as_millis())
}

fn nanos(at: SystemTime) -> i64 {
    since_1970(at, |span| span.as_nanos())
}

fn since_1970(at: SystemTime, unit: fn(Duration) -> u128) -> i64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(unit(after)).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(unit(before.duration())).map_or(i64::MIN, |span| -span),
    }
}

/// The time that [`nanos`] wrote.
pub(super) fn from_nanos(at: i64) -> SystemTime {
    let span = Duration::from_nanos(at.unsigned_abs());
    let at = if at < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    at.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Key, account, detail and fence from four columns.
fn intent(row: &Row<'_>, at: usize) -> Sql<Intent> {
    Ok(Intent {
        key: parsed(row, at)?,
        account: parsed(row, at + 1)?,
        detail: row.get::<_, Vec<u8>>(at + 2)?.into(),
        fence: from_nanos(row.get(at + 3)?),
    })
}

pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, at: usize) -> Sql<T> {
    row.get_ref(at)?.as_str()?.parse().map_err(|_| strange(at))
}

/// The word of a class in the file.
pub(super) fn word(class: Class) -> &'static str {
    match class {
        Class::Rejected(Scope::Account) => "rejected_account",
        class => class.as_str(),
    }
}

fn class(column: usize, text: &str) -> Sql<Class> {
    Class::ALL.into_iter().find(|class| word(*class) == text).ok_or_else(|| strange(column))
}

/// A value that this crate never writes.
pub(super) fn strange(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, "a value that no journal writes".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fence_survives_the_file(nanos_since in any::<i64>()) {
            let at = from_nanos(nanos_since);
            prop_assert!(nanos(at) == nanos_since || nanos_since == i64::MIN);
        }
    }

    #[test]
    fn times_outside_of_the_file_stay_at_its_ends() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(nanos(far), i64::MAX);
        assert_eq!(millis(SystemTime::UNIX_EPOCH - Duration::from_millis(5)), -5);
    }

    #[test]
    fn every_class_has_its_own_word() {
        for class in Class::ALL {
            assert_eq!(super::class(0, word(class)).unwrap(), class);
        }
        assert!(super::class(0, "given_up").is_err());
    }
}

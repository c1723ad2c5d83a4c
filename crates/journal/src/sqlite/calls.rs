//! What was heard of calls, as rows: events, and the state that is folded from them.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};
use trunkline_core_types::{
    Call, CallEvent, CallRef, CallState, CallStatus, Currency, Heard, IdempotencyKey, Money,
};

use super::rows::{millis, parsed, strange};

/// Events kept of one call; beyond them those go on which its state does not rest.
const EVENTS: usize = 64;

type Sql<T> = rusqlite::Result<T>;

/// The statements about calls, prepared once.
#[derive(Debug)]
pub(super) struct Calls<'c> {
    find: Statement<'c>,
    events: Statement<'c>,
    insert: Statement<'c>,
    update: Statement<'c>,
    event: Statement<'c>,
    forget: Statement<'c>,
    name: Statement<'c>,
    owner: Statement<'c>,
    any_old: Statement<'c>,
    old: Statement<'c>,
}

impl<'c> Calls<'c> {
    pub(super) fn new(conn: &'c Connection) -> Sql<Self> {
        Ok(Self {
            find: conn.prepare("SELECT id FROM heard_calls WHERE account = ?1 AND call = ?2")?,
            events: conn.prepare(
                "SELECT event, created, status, ended, duration_ns, cost, currency FROM events WHERE call = ?1
                 ORDER BY heard_ms, event",
            )?,
            insert: conn.prepare(
                "INSERT INTO heard_calls (account, call, status, is_over, since, heard_ms) VALUES (?1, ?2, '', 0, '', ?3)",
            )?,
            update: conn.prepare(
                "UPDATE heard_calls SET key = coalesce(key, ?2), status = ?3, is_over = ?4, since = ?5, heard_ms = ?6 WHERE id = ?1",
            )?,
            event: conn.prepare(
                "INSERT INTO events (call, event, created, status, ended, duration_ns, cost, currency, heard_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            forget: conn.prepare("DELETE FROM events WHERE call = ?1 AND event = ?2")?,
            name: conn.prepare("UPDATE calls SET call = ?2 WHERE key = ?1 AND account = ?3 AND call IS NULL")?,
            // An event is the provider's own word.
            owner: conn.prepare(
                "SELECT key FROM heard_calls WHERE account = ?1 AND call = ?2 AND key IS NOT NULL
                 UNION ALL SELECT key FROM calls WHERE account = ?1 AND call = ?2 LIMIT 1",
            )?,
            any_old: conn.prepare("SELECT 1 FROM heard_calls WHERE heard_ms < ?1 LIMIT 1")?,
            old: conn.prepare(
                "DELETE FROM heard_calls WHERE id IN (SELECT id FROM heard_calls WHERE heard_ms < ?1 ORDER BY heard_ms LIMIT ?2)",
            )?,
        })
    }

    /// Takes an event once. Belongs into a transaction.
    pub(super) fn hear(&mut self, call: &CallRef, event: &CallEvent, now: SystemTime) -> Sql<Heard> {
        let now = millis(now);
        let id = match self.id(call)? {
            Some(id) => id,
            None => self.insert.insert(params![call.account.as_str(), call.id.as_str(), now])?,
        };
        let mut events = self.of(id, call)?;
        if events.iter().any(|known| known.id == event.id) {
            return Ok(Heard { state: folded(&events), duplicate: true });
        }
        self.keep(id, event, now)?;
        events.push(event.clone());
        let state = folded(&events);
        if events.len() > EVENTS
            && let Some(spare) = spare(&events, &state)
        {
            self.forget.execute(params![id, spare.id.as_str()])?;
        }
        let (status, since) =
            (state.status().map(CallStatus::as_str), state.since().map(|at| at.to_string()));
        let key = event.key.as_ref().map(|key| key.as_str());
        self.update.execute(params![id, key, status, state.is_over(), since, now])?;
        if let Some(key) = key {
            self.name.execute(params![key, call.id.as_str(), call.account.as_str()])?;
        }
        Ok(Heard { state, duplicate: false })
    }

    /// The call as its events tell it.
    pub(super) fn state(&mut self, call: &CallRef) -> Sql<Option<CallState>> {
        match self.id(call)? {
            Some(id) => self.of(id, call).map(|events| Some(folded(&events))),
            None => Ok(None),
        }
    }

    /// The key of a call, as far as the file tells.
    pub(super) fn key_of(&mut self, call: &CallRef) -> Sql<Option<IdempotencyKey>> {
        let named = [call.account.as_str(), call.id.as_str()];
        self.owner.query_row(named, |row| parsed(row, 0)).optional()
    }

    /// Whether there is a call of which nothing was heard since `before`.
    pub(super) fn has_old(&mut self, before: SystemTime) -> Sql<bool> {
        self.any_old.exists([millis(before)])
    }

    /// Deletes calls of which nothing was heard since `before`, with their events, oldest first; how many.
    pub(super) fn delete_old(&mut self, before: SystemTime, limit: u32) -> Sql<u32> {
        self.old.execute(params![millis(before), limit]).map(|count| count as u32)
    }

    fn id(&mut self, call: &CallRef) -> Sql<Option<i64>> {
        self.find.query_row([call.account.as_str(), call.id.as_str()], |row| row.get(0)).optional()
    }

    fn of(&mut self, id: i64, call: &CallRef) -> Sql<Vec<CallEvent>> {
        let rows = self.events.query_map([id], |row| event(row, call))?;
        rows.collect()
    }

    fn keep(&mut self, id: i64, event: &CallEvent, now: i64) -> Sql<()> {
        let call = &event.call;
        let duration = call.duration.map(|time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
        let (ended, cost) = (call.ended.map(|at| at.to_string()), call.cost.map(|cost| cost.amount()));
        let currency = call.cost.map(|cost| cost.currency().to_string());
        let (name, created) = (event.id.as_str(), event.created.to_string());
        self.event
            .execute(params![id, name, created, call.status.as_str(), ended, duration, cost, currency, now])
            .map(|_| ())
    }
}

fn folded<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> CallState {
    let mut state = CallState::new();
    events.into_iter().for_each(|event| {
        state.fold(event);
    });
    state
}

/// The oldest event without which the state is the same.
fn spare<'a>(events: &'a [CallEvent], state: &CallState) -> Option<&'a CallEvent> {
    let without =
        |at: usize| folded(events.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, event)| event));
    (0..events.len()).find(|at| without(*at) == *state).map(|at| &events[at])
}

fn event(row: &Row<'_>, of: &CallRef) -> Sql<CallEvent> {
    let mut call = Call::new(of.id.clone(), parsed(row, 2)?);
    call.ended = row.get_ref(3)?.as_str_or_null()?.map(|_| parsed(row, 3)).transpose()?;
    let nanos = row.get::<_, Option<i64>>(4)?.map(u64::try_from).transpose().map_err(|_| strange(4))?;
    call.duration = nanos.map(Duration::from_nanos);
    if let Some(amount) = row.get::<_, Option<String>>(5)? {
        let currency: Currency = parsed(row, 6)?;
        call.cost = Some(Money::parse(&amount, currency).map_err(|_| strange(5))?);
    }
    Ok(CallEvent::new(parsed(row, 0)?, parsed(row, 1)?, call))
}

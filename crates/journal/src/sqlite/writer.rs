//! The one thread that touches the file: it takes what has come together, writes it in one transaction, and answers after the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;
use trunkline_core_types::{
    CallEvent, CallRef, Claim, Class, Heard, IdempotencyKey, Intent, JournalError, JournalErrorKind,
};

use super::calls::Calls;
use super::entry::Image;
use super::error::{failed, is_held};
use super::rows::Rows;
use super::schema::LockFile;
use super::shared::{Grant, Shared, Step, Told};

/// Old keys deleted in one transaction at most, so that no call waits long behind it.
pub(super) const SWEPT: u32 = 500;

/// Between two looks after old keys.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Runs until the journal is closed and everything is written. The order of the fields is that of the end: file, lock, word of it.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    lock: LockFile,
    shared: Arc<Shared>,
    retention: Duration,
    /// Dropped at the end, which `close` waits for.
    running: watch::Sender<()>,
}

impl Writer {
    pub(super) fn new(
        (conn, lock): (Connection, LockFile),
        shared: Arc<Shared>,
        retention: Duration,
        running: watch::Sender<()>,
    ) -> Self {
        Self { conn, lock, shared, retention, running }
    }

    pub(super) fn run(self) {
        let Self { conn, lock, shared, retention, running } = self;
        let ended = Ended(shared.clone());
        if let (Ok(rows), Ok(calls)) = (Rows::new(&conn), Calls::new(&conn)) {
            let (next_sweep, failing, held) = (None, false, None);
            Thread { conn: &conn, rows, calls, shared: &shared, retention, next_sweep, failing, held }.run();
        }
        drop(ended);
        drop(conn);
        drop(lock);
        drop(running);
    }
}

/// Also after a panic nobody may wait for an answer that does not come.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Whoever waits for the commit of a key.
type Waiting = HashMap<IdempotencyKey, Vec<Waiter>>;
type Waiter = (Grant, Told<Claim>, Claim);
type Hearing = (CallRef, Box<CallEvent>, Told<Heard>);

struct Thread<'c> {
    conn: &'c Connection,
    rows: Rows<'c>,
    calls: Calls<'c>,
    shared: &'c Shared,
    retention: Duration,
    next_sweep: Option<Instant>,
    /// The last commit failed: until one succeeds a claim waits for its own, so that it fails instead of the begin after it.
    failing: bool,
    /// What the last commit said if another program holds the file.
    held: Option<JournalError>,
}

impl Thread<'_> {
    fn run(&mut self) {
        let mut more = false;
        while let Some(steps) = self.shared.next(more) {
            let mut waiting = Waiting::new();
            let (mut heard, mut after) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Claim(intent, told) => self.claim(&intent, told, &mut waiting),
                    Step::Begin(key, number, told) => {
                        let go = Claim::Go { number };
                        waiting.entry(key).or_default().push((Grant::Begin(number), told, go));
                    }
                    Step::Settle(key, class, reply) => {
                        let now = self.shared.clock.wall();
                        let known = self.known("settle", &key);
                        let mut state = self.shared.lock();
                        match known {
                            Ok(()) => {
                                let settled = state.table.settle(&key, None, class, reply, now);
                                state.refused += u64::from(settled.is_err());
                            }
                            // Late it would still be true; a freeing that is late could meet another claim.
                            Err(_) if class == Class::Accepted => state.put_off(key, class, reply),
                            Err(_) => state.refused += 1,
                        }
                    }
                    Step::Hear(call, event, told) => heard.push((call, event, told)),
                    Step::Placed(key, placed) => {
                        // What cannot be read now is not known then: a reconcile finds it unclear.
                        let _ = self.known("placed", &key);
                        self.shared.lock().table.placed(&key, placed);
                    }
                    Step::Open { .. } | Step::Sweep(_) | Step::State(..) | Step::KeyOf(..) => {
                        after.push(step);
                    }
                }
            }
            if !after.is_empty() {
                self.shared.lock().table.ripen();
            }
            self.write(&mut waiting, heard);
            // Their begins were written with the commit before, which looked at the table after they came.
            let rest: Vec<_> = waiting.into_iter().collect();
            rest.into_iter().for_each(|(key, waiting)| self.answer(&key, waiting));
            after.into_iter().for_each(|step| self.look(step));
            more = self.sweep_when_due();
        }
    }

    fn claim(&mut self, intent: &Arc<Intent>, told: Told<Claim>, waiting: &mut Waiting) {
        if told.to.is_closed() {
            return;
        }
        if let Err(error) = self.known("claim", &intent.key) {
            drop(told.to.send(Err(error)));
            return;
        }
        let mut state = self.shared.lock();
        let claim = state.table.claim(intent);
        let go = matches!(claim, Claim::Go { .. });
        if go && self.failing {
            state.table.ripen();
            drop(state);
            waiting.entry(intent.key.clone()).or_default().push((Grant::Claim, told, claim));
            return;
        }
        drop(state);
        if told.to.send(Ok(claim)).is_err() && go {
            self.shared.take_back(&intent.key, Grant::Claim);
        }
    }

    /// Brings a key from the file into the table, if the file has it.
    fn known(&mut self, step: &str, key: &IdempotencyKey) -> Result<(), JournalError> {
        if self.shared.lock().table.knows(key) {
            return Ok(());
        }
        if let Some(entry) = self.rows.load(key).map_err(|error| failed(step, error))? {
            self.shared.lock().table.insert(key, entry);
        }
        Ok(())
    }

    /// Writes everything that changed in one transaction; if that fails, each key by itself, so that one cannot hold up the others. A file
    /// that another program holds refuses all of them: it is waited for once.
    fn write(&mut self, waiting: &mut Waiting, heard: Vec<Hearing>) {
        self.held = None;
        let mut state = self.shared.lock();
        // Its proof failed before, and comes after this commit if at all.
        let late =
            |(_, event, _): &Hearing| event.key.as_ref().filter(|key| state.is_unwritten(key)).cloned();
        let late: HashSet<_> = heard.iter().filter_map(late).collect();
        let (fresh, stuck) = state.table.images();
        drop(state);
        let is_late = |(_, event, _): &Hearing| event.key.as_ref().is_some_and(|key| late.contains(key));
        let (mut late, heard): (Vec<_>, Vec<_>) = heard.into_iter().partition(is_late);
        let (single, unheard) = match self.commit(&fresh, &heard) {
            Ok((ids, answers)) => {
                fresh.iter().zip(ids).for_each(|(image, id)| self.written(image, id, waiting));
                heard.into_iter().zip(answers).for_each(|(hearing, answer)| self.heard(hearing, answer));
                (stuck, late)
            }
            Err(_) => {
                late.extend(heard);
                (fresh.into_iter().chain(stuck).collect(), late)
            }
        };
        let mut full = None;
        for image in single {
            // New rows would find it full too; what is known of old ones may still fit.
            let known = self.held.clone().or_else(|| full.clone().filter(|_| image.id.is_none()));
            match known.map_or_else(|| self.commit(std::slice::from_ref(&image), &[]), Err) {
                Ok((ids, _)) => ids.into_iter().for_each(|id| self.written(&image, id, waiting)),
                Err(error) => {
                    self.unwritten(image, &error, waiting);
                    if error.kind() == JournalErrorKind::Full {
                        full = Some(error);
                    }
                }
            }
        }
        unheard.into_iter().for_each(|hearing| self.hear(hearing));
    }

    /// One event in a transaction of its own. Its key goes first: an event that was taken is not sent again.
    fn hear(&mut self, hearing: Hearing) {
        let unwritten = |key| self.shared.lock().is_unwritten(key);
        let heard = if hearing.1.key.as_ref().is_some_and(unwritten) {
            Err(JournalError::new(
                JournalErrorKind::Store,
                "hear: what the event proves could not be written yet; let it be sent again",
            ))
        } else if let Some(error) = &self.held {
            Err(error.clone())
        } else {
            self.commit(&[], std::slice::from_ref(&hearing)).map(|(_, mut heard)| heard.pop())
        };
        match heard {
            Ok(Some(answer)) => self.heard(hearing, answer),
            Ok(None) => {}
            Err(error) => drop(hearing.2.to.send(Err(error))),
        }
    }

    fn heard(&self, (call, event, told): Hearing, mut answer: Heard) {
        answer.duplicate = answer.duplicate && !self.shared.was_unheard(&call, &event.id);
        let is_new = !answer.duplicate;
        if told.to.send(Ok(answer)).is_err() && is_new {
            self.shared.note_unheard(&call, &event.id);
        }
    }

    /// One transaction and one sync for all; the ids of their rows, and the answers to events.
    fn commit(
        &mut self,
        images: &[Image],
        heard: &[Hearing],
    ) -> Result<(Vec<i64>, Vec<Heard>), JournalError> {
        if images.is_empty() && heard.is_empty() {
            return Ok(Default::default());
        }
        let now = self.shared.clock.wall();
        let mut write = || {
            let tx = self.conn.unchecked_transaction()?;
            let ids = images.iter().map(|image| self.rows.write(image, now)).collect::<Result<_, _>>()?;
            let heard = heard.iter().map(|(call, event, _)| self.calls.hear(call, event, now));
            let heard = heard.collect::<Result<_, _>>()?;
            tx.commit()?;
            Ok((ids, heard))
        };
        let written = write();
        self.failing = written.is_err();
        let held = written.as_ref().is_err_and(is_held);
        let written = written.map_err(|error| failed("commit", error));
        self.held = written.as_ref().err().filter(|_| held).cloned();
        written
    }

    fn written(&self, image: &Image, id: i64, waiting: &mut Waiting) {
        self.shared.lock().table.written(image, id);
        let key = &image.intent.key;
        self.answer(key, waiting.remove(key).unwrap_or_default());
    }

    fn answer(&self, key: &IdempotencyKey, waiting: Vec<Waiter>) {
        for (grant, told, go) in waiting {
            if told.to.send(Ok(go)).is_err() {
                self.shared.take_back(key, grant);
            }
        }
    }

    fn unwritten(&self, image: Image, error: &JournalError, waiting: &mut Waiting) {
        let key = image.intent.key.clone();
        let waiting = waiting.remove(&key).unwrap_or_default();
        waiting.iter().for_each(|(grant, ..)| self.shared.take_back(&key, *grant));
        self.shared.lock().table.unwritten(image);
        waiting.into_iter().for_each(|(_, told, _)| drop(told.to.send(Err(error.clone()))));
    }

    /// Answers what reads the file, after everything before it is written.
    fn look(&mut self, step: Step) {
        match step {
            Step::Open { fenced_before, after, limit, told } => {
                let open = self.rows.open_calls(fenced_before, after.as_ref(), limit);
                drop(told.to.send(open.map_err(|error| failed("open_calls", error))));
            }
            Step::Sweep(told) => {
                let swept = self.sweep().map(|(deleted, _)| deleted);
                drop(told.to.send(swept.map_err(|error| failed("sweep", error))));
            }
            Step::State(call, told) => {
                let state = self.calls.state(&call);
                drop(told.to.send(state.map_err(|error| failed("state", error))));
            }
            Step::KeyOf(call, told) => {
                let unwritten = self.shared.lock().table.unwritten_key_of(&call);
                let key = self.calls.key_of(&call).map(|key| key.or(unwritten));
                drop(told.to.send(key.map_err(|error| failed("key_of", error))));
            }
            Step::Claim(..) | Step::Begin(..) | Step::Settle(..) | Step::Hear(..) | Step::Placed(..) => {}
        }
    }

    /// Whether there are more to delete.
    fn sweep_when_due(&mut self) -> bool {
        let now = self.shared.clock.now();
        if self.next_sweep.is_some_and(|due| now < due) {
            return false;
        }
        // A failed look is repeated like one that found nothing.
        let more = self.sweep().is_ok_and(|(_, more)| more);
        self.next_sweep = if more { Some(now) } else { now.checked_add(SWEEP_EVERY) };
        more
    }

    /// Deletes one batch of old keys, and one of calls heard of long ago: how many keys, and whether there may be more of either.
    fn sweep(&mut self) -> rusqlite::Result<(u32, bool)> {
        let Some(before) = self.shared.clock.wall().checked_sub(self.retention) else {
            return Ok((0, false));
        };
        let old = self.rows.old(before, SWEPT)?;
        if old.is_empty() && !self.calls.has_old(before)? {
            return Ok((0, false));
        }
        let mut deleted = 0;
        let tx = self.conn.unchecked_transaction()?;
        let heard = self.calls.delete_old(before, SWEPT)?;
        for (id, key) in &old {
            if self.shared.lock().table.forget_clean(key) {
                self.rows.delete(*id)?;
                deleted += 1;
            }
        }
        tx.commit()?;
        // Keys that may not go yet are no reason to look again at once.
        Ok((deleted, heard == SWEPT || deleted > 0 && old.len() == SWEPT as usize))
    }
}

#[cfg(test)]
#[cfg(not(trunkline_loom))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use futures_util::FutureExt;
    use trunkline_core_types::SystemClock;

    use super::*;
    use crate::sqlite::table::Table;
    use crate::sqlite::{SqliteSettings, schema};

    fn intent(number: usize) -> Arc<Intent> {
        Arc::new(Intent {
            key: format!("key-{number}").parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: "call".into(),
            fence: SystemTime::UNIX_EPOCH,
        })
    }

    /// SQLite waits 5 s for it: once for all that is to be written, and again at the close, however much there is.
    #[test]
    fn a_file_that_another_program_holds_is_waited_for_once() {
        let path = std::env::temp_dir().join(format!("trunkline-held-{}.journal", std::process::id()));
        let settings = SqliteSettings::new(Arc::new(SystemClock::new()));
        let (mut conn, lock) = schema::open(&path, &settings).unwrap();
        let waits = Arc::new(AtomicUsize::new(0));
        let waited = waits.clone();
        let gives_up = move |_| {
            waited.fetch_add(1, Ordering::SeqCst);
            false
        };
        conn.busy_handler(Some(gives_up)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let shared = Arc::new(Shared::new(settings.clock));
        let begin = |number| {
            let call = intent(number);
            let step = |table: &mut Table, told| {
                table.claim(&call);
                table.begin(&call, 1)?;
                Ok(Step::Begin(call.key.clone(), 1, told))
            };
            shared.ask("begin", step).now_or_never().unwrap().unwrap()
        };
        let begins: Vec<_> = (0..20).map(begin).collect();
        shared.close();
        Writer::new((conn, lock), shared, settings.retention, watch::channel(()).0).run();
        for begun in begins {
            let error = begun.now_or_never().unwrap().unwrap().unwrap_err();
            assert!(error.to_string().contains("another program holds the file"), "{error}");
        }
        let waits = waits.load(Ordering::SeqCst);
        assert!(waits <= 3, "{waits}");
        drop(other);
        for end in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}

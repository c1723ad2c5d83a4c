//! The journal in an SQLite file: durable before the first byte, one writer, group commit.

mod calls;
mod entry;
mod error;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod rows;
mod schema;
mod settings;
mod shared;
mod table;
mod view;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use trunkline_core_types::{
    AccountId, AttemptJournal, BoxFuture, Call, CallEvent, CallJournal, CallRef, CallState, Claim, Class,
    EventId, Heard, IdempotencyKey, Intent, JournalError,
};

use crate::sync::oneshot;
use error::closed;
use shared::{Grant, Shared, Step};
use writer::Writer;

pub use error::{JournalOpenError, JournalOpenErrorKind};
pub use settings::SqliteSettings;
pub use view::{JournalStatus, JournalView};

/// A durable journal in one SQLite file: what it has answered survives a crash of the process and of the machine.
///
/// One process writes a file; a second gets [`JournalOpenErrorKind::Locked`] and may look at it with [`read_only`](Self::read_only).
/// One thread of the journal does all its work on the disk. Steps that come together share one commit and one sync, so the pace grows
/// with the callers.
///
/// * [`begin`](AttemptJournal::begin) resolves after its commit, [`claim`](AttemptJournal::claim) as soon as the file was asked: a claim
///   under which nothing began frees itself in a crash, so it goes into the commit of its first begin, or by itself when it lingers.
///   While commits fail a claim waits for one that succeeds. At most 1,024 of both wait at once; beyond that they wait for a place before
///   they are queued. A future that is dropped leaves nothing behind: its key frees, its attempt counts as not sent, its
///   event is new when it comes again.
/// * [`end`](AttemptJournal::end) and [`settle`](AttemptJournal::settle) return at once and are durable with the next commit, also
///   that of another call, at the latest 2 ms later. If it fails they are tried again each second, at the latest at the close; until then the file holds the
///   call as open. There are never more of them than attempts were begun, plus 65,536 proofs.
/// * Only this process's claims are in memory, not the whole file. `end` knows the attempts of this process only. A `settle` about a
///   key that is only in the file is judged when it is written: what does not fit is counted in
///   [`JournalStatus::refused_proofs`], not returned.
/// * After a restart a claim without an attempt is free, and every other one without an answer is open until there is proof.
///
/// Its thread does not live in a runtime's paused time: a deadline around a claim passes at once there.
///
/// The file holds phone numbers in clear, so it can be read by its owner only (mode 0600); `Debug` and errors show none.
pub struct SqliteJournal {
    path: PathBuf,
    shared: Arc<Shared>,
    running: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// One reader at a time.
    looks: Arc<Semaphore>,
}

impl SqliteJournal {
    /// Opens the file at `path` for writing, or makes it; its folder must exist. Beside it appear `-wal`, `-shm` and `.lock`.
    ///
    /// Blocks while the file is checked, about 1 s for a million keys: open it before the work starts.
    ///
    /// # Errors
    /// [`JournalOpenError`] with every kind there is.
    pub fn open(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self, JournalOpenError> {
        let path = path.as_ref();
        let file = schema::open(path, &settings)?;
        // The thread prepares the same again, with nobody to tell.
        rows::Rows::new(&file.0)?;
        calls::Calls::new(&file.0)?;
        let shared = Arc::new(Shared::new(settings.clock));
        let (word, running) = watch::channel(());
        let writer = Writer::new(file, shared.clone(), settings.retention, word);
        let thread = Builder::new().name("journal".into()).spawn(|| writer.run());
        let thread = thread.map_err(|source| {
            JournalOpenError::new(JournalOpenErrorKind::Store, "its thread cannot start").with_source(source)
        })?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            running,
            thread: Mutex::new(Some(thread)),
            looks: Arc::new(Semaphore::new(1)),
        })
    }

    /// Opens the file to read, also while another process writes it.
    ///
    /// # Errors
    /// [`JournalOpenError`]; never `Locked` because of a writer.
    pub fn read_only(path: impl AsRef<Path>) -> Result<JournalView, JournalOpenError> {
        JournalView::open(path.as_ref())
    }

    /// Waits until everything noted before is in the file, or could not be written.
    ///
    /// # Errors
    /// [`JournalError`] if the journal is closed or the file cannot be read.
    pub async fn flush(&self) -> Result<(), JournalError> {
        self.open_calls(SystemTime::UNIX_EPOCH, None, 0).await.map(drop)
    }

    /// Counts of what was noted before. Also of a closed journal.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be read.
    pub async fn status(&self) -> Result<JournalStatus, JournalError> {
        // A closed journal has written what it could.
        let _ = self.flush().await;
        let mut status = self.look("status", JournalView::status).await?;
        let state = self.shared.lock();
        (status.unwritten, status.refused_proofs) = (state.unwritten() as u64, state.refused);
        Ok(status)
    }

    /// Reads the whole file and its indexes; calls go on meanwhile.
    ///
    /// # Errors
    /// [`JournalError`] if the file is damaged or cannot be read.
    pub async fn integrity_check(&self) -> Result<(), JournalError> {
        self.look("integrity_check", JournalView::integrity_check).await
    }

    /// Deletes at most 500 keys that ended longer ago than the retention, oldest first; how many it deleted. The journal does this by
    /// itself once a minute until none is left.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be written.
    pub async fn sweep(&self) -> Result<u32, JournalError> {
        let answer = self.shared.ask("sweep", |_, told| Ok(Step::Sweep(told))).await?;
        answer.await.unwrap_or_else(|_| Err(closed("sweep")))
    }

    /// Takes nothing more, writes what it has taken, and gives the file free. Dropping the journal does the same and blocks meanwhile.
    pub async fn close(&self) {
        self.shared.close();
        let mut running = self.running.clone();
        // Nothing is ever sent; the end of the thread is the end of the channel.
        while running.changed().await.is_ok() {}
    }

    /// Reads on a thread of its own, which ends with what it does.
    async fn look<T: Send + 'static>(
        &self,
        step: &'static str,
        read: fn(&JournalView) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let turn = self.looks.clone().acquire_owned().await.map_err(|_| closed(step))?;
        let (path, (told, answer)) = (self.path.clone(), oneshot::channel());
        let look = move || {
            let store = |error| {
                JournalError::new(
                    trunkline_core_types::JournalErrorKind::Store,
                    format!("{step}: see the cause"),
                )
                .with_source(error)
            };
            let result = JournalView::open(&path).map_err(store).and_then(|view| read(&view));
            drop(turn);
            drop(told.send(result));
        };
        Builder::new().name("journal-reader".into()).spawn(look).map_err(|source| {
            JournalError::new(
                trunkline_core_types::JournalErrorKind::Store,
                format!("{step}: its thread cannot start"),
            )
            .with_source(source)
        })?;
        answer.await.unwrap_or_else(|_| Err(closed(step)))
    }

    async fn granted(
        &self,
        step: &str,
        key: &IdempotencyKey,
        grant: Grant,
        answer: Answer,
    ) -> Result<Claim, JournalError> {
        let mut unseen = Unseen { shared: &self.shared, key, grant, answer };
        (&mut unseen.answer).await.unwrap_or_else(|_| Err(closed(step)))
    }
}

type Answer = oneshot::Receiver<Result<Claim, JournalError>>;

/// An answer on its way. If its future is dropped first, what was granted is taken back.
struct Unseen<'a> {
    shared: &'a Shared,
    key: &'a IdempotencyKey,
    grant: Grant,
    answer: Answer,
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(Claim::Go { .. })) = self.answer.try_recv() {
            self.shared.take_back(self.key, self.grant);
        }
    }
}

/// The answer to an event on its way. If its future is dropped first, the event is new when it comes again.
struct Unheard<'a> {
    shared: &'a Shared,
    call: &'a CallRef,
    event: &'a EventId,
    answer: oneshot::Receiver<Result<Heard, JournalError>>,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(Ok(Heard { duplicate: false, .. })) = self.answer.try_recv() {
            self.shared.note_unheard(self.call, self.event);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl AttemptJournal for SqliteJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async move {
            let step = |_: &mut _, told| Ok(Step::Claim(intent.clone(), told));
            let answer = self.shared.ask("claim", step).await?;
            self.granted("claim", &intent.key, Grant::Claim, answer).await
        })
    }

    /// Every claim waits for the writer.
    fn claim_at_once(&self, _: &Arc<Intent>) -> Option<Result<Claim, JournalError>> {
        None
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let step = |table: &mut table::Table, told| {
                table.begin(intent, number)?;
                Ok(Step::Begin(intent.key.clone(), number, told))
            };
            let answer = self.shared.ask("begin", step).await?;
            self.granted("begin", &intent.key, Grant::Begin(number), answer).await.map(|_| ())
        })
    }

    /// Every begin waits for its commit.
    fn begin_at_once(&self, _: &Arc<Intent>, _: u32) -> Option<Result<(), JournalError>> {
        None
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.shared.end(key, number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.shared.settle(key, None, class, reply)
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.shared.settle(key, Some(number), class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        Box::pin(async move {
            let after = after.cloned();
            let step = |_: &mut _, told| Ok(Step::Open { fenced_before, after, limit, told });
            let answer = self.shared.ask("open_calls", step).await?;
            answer.await.unwrap_or_else(|_| Err(closed("open_calls")))
        })
    }

    fn calls(&self) -> Option<&dyn CallJournal> {
        Some(self)
    }
}

#[deny(clippy::missing_trait_methods)]
impl CallJournal for SqliteJournal {
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>> {
        Box::pin(async move {
            let step = |_: &mut _, told| Ok(Step::Hear(call.clone(), Box::new(event.clone()), told));
            let answer = self.shared.ask("hear", step).await?;
            let mut unseen = Unheard { shared: &self.shared, call, event: &event.id, answer };
            (&mut unseen.answer).await.unwrap_or_else(|_| Err(closed("hear")))
        })
    }

    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>> {
        Box::pin(async move {
            let step = |_: &mut _, told| Ok(Step::State(call.clone(), told));
            let answer = self.shared.ask("state", step).await?;
            answer.await.unwrap_or_else(|_| Err(closed("state")))
        })
    }

    /// The account is that of the key's latest attempt.
    fn placed(&self, key: &IdempotencyKey, _account: &AccountId, call: &Call) {
        self.shared.placed(key, &call.id, &call.status);
    }

    fn key_of<'a>(
        &'a self,
        call: &'a CallRef,
    ) -> BoxFuture<'a, Result<Option<IdempotencyKey>, JournalError>> {
        Box::pin(async move {
            let step = |_: &mut _, told| Ok(Step::KeyOf(call.clone(), told));
            let answer = self.shared.ask("key_of", step).await?;
            answer.await.unwrap_or_else(|_| Err(closed("key_of")))
        })
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.shared.close();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has nothing more to write.
        let _ = thread.map(JoinHandle::join);
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_memory = self.shared.lock().table.len();
        f.debug_struct("SqliteJournal").field("in_memory", &in_memory).finish_non_exhaustive()
    }
}

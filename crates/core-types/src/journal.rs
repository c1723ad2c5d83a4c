//! The attempt journal as a seam: what is noted before a byte leaves, so that nobody is rung twice.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{BoxFuture, Class, IdempotencyKey, Intent, Source};

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key is free and now yours: dial.
    Go {
        /// The number of the first attempt, by which the claim is known too: 1, or above every number that was begun or given to a claim
        /// under the key before.
        number: u32,
    },
    /// The key is open: an attempt is running or its outcome is unknown. Dial nobody.
    Open,
    /// The key has its answer.
    Settled(Class, Option<Bytes>),
    /// The key belongs to another call: bad input.
    Mismatch,
}

/// Notes what is about to be sent and how it ended.
///
/// The life of a key: `claim` makes it yours, `begin` before the first byte of each attempt, `end` after it. `Accepted` and
/// `Rejected(Call)` settle the key for ever; `Ambiguous` keeps it open until `settle` brings proof; `Unsent`, `Deferred` and
/// `Rejected(Account)` leave it to the claimer until he settles the call, which frees it. A claim whose process died before any
/// `begin` is free, one that died after is open.
pub trait AttemptJournal: Debug + Send + Sync + 'static {
    /// Compare-and-insert, once per call, outside retry and failover. A future that is dropped before it gave its answer must not leave
    /// the key taken: nobody would free it.
    ///
    /// # Errors
    /// [`JournalError`]: then nothing may be sent.
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>>;

    /// Does what `claim` does, if nothing has to be waited for. Default: `None`, upon which callers wait for `claim`.
    fn claim_at_once(&self, intent: &Arc<Intent>) -> Option<Result<Claim, JournalError>> {
        let _ = intent;
        None
    }

    /// Notes an attempt, durably, before its first byte. `number` is above every number begun before; the account is the intent's.
    ///
    /// # Errors
    /// [`JournalError`]: then the attempt may not be sent.
    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Does what `begin` does, if nothing has to be waited for. Default: `None`, upon which callers wait for `begin`.
    fn begin_at_once(&self, intent: &Arc<Intent>, number: u32) -> Option<Result<(), JournalError>> {
        let _ = (intent, number);
        None
    }

    /// Notes how an attempt ended. Never waits, so that it can be called from `Drop`; the store writes it soon after.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot even be queued; the attempt stays open then.
    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError>;

    /// Ends the call with a reconcile's or callback's proof. `Ambiguous` leaves it open, `Unsent`, `Deferred` and `Rejected(Account)` free
    /// the key. Never waits, so that it can be called from `Drop`.
    ///
    /// # Errors
    /// [`JournalError`]; the call then stays as its attempts left it.
    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError>;

    /// Ends the call with the fold of its attempts, for whoever claimed it and was given this number. Does what `settle` does, but frees and
    /// refuses nothing that is not his to tell: a key that was claimed anew since, or an attempt whose outcome is noted as unknown. A store
    /// that several clients share has to implement it. Default: `settle`.
    ///
    /// # Errors
    /// [`JournalError`]; the call then stays as its attempts left it, or with whoever claimed it since.
    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let _ = number;
        self.settle(key, class, reply)
    }

    /// Open calls whose fence lies before `fenced_before`, in the order of their keys, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`JournalError`].
    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>>;

    /// Where it keeps what is heard of calls; `None`, the default, if it does not.
    #[cfg(feature = "voice")]
    fn calls(&self) -> Option<&dyn crate::CallJournal> {
        None
    }
}

/// What a journal could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JournalErrorKind {
    /// The store is full; nothing more is claimed.
    Full,
    /// The store failed or is locked by another process.
    Store,
    /// The step does not fit the key's state, for example a second attempt while one is open.
    State,
}

/// A journal failed; nothing may be sent that it could not note.
#[derive(Debug, Clone, thiserror::Error)]
#[error("journal: {message}")]
pub struct JournalError {
    kind: JournalErrorKind,
    message: Box<str>,
    source: Option<Source>,
}

impl JournalError {
    /// An error whose message says what to do and names no number.
    pub fn new(kind: JournalErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// With the store's own error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Source::new(source));
        self
    }

    /// What failed, for callers who branch.
    pub fn kind(&self) -> JournalErrorKind {
        self.kind
    }
}

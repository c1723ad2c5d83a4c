//! The call journal as a seam: what providers told of calls, each event once, so that a restart forgets nothing.

use std::fmt::Debug;
use std::future::ready;

use crate::{AccountId, BoxFuture, Call, CallEvent, CallRef, CallState, IdempotencyKey, JournalError};

/// What a journal answers to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The call as all its events tell it, this one included.
    pub state: CallState,
    /// The event was heard before; nothing changed.
    pub duplicate: bool,
}

/// Keeps what is heard of calls: verified events and the state folded from them. A journal that has one gives it as
/// [`AttemptJournal::calls`](crate::AttemptJournal::calls).
///
/// The events of one call are kept as far as its state rests on them, and a bounded number of others; one that is forgotten is heard
/// again as new, which changes nothing.
pub trait CallJournal: Debug + Send + Sync + 'static {
    /// Takes an event of `call` once, as durably as the journal keeps a begin. The caller verified it.
    ///
    /// # Errors
    /// [`JournalError`]: then the event was not taken, and its sender may repeat it.
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>>;

    /// The call as its events tell it; `None` if none was heard, or so long ago that it was deleted.
    ///
    /// # Errors
    /// [`JournalError`].
    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>>;

    /// Notes which call the account's provider made of a key, as the reply of its placement or a reconcile told. Never waits; a store may
    /// leave it out, also of calls that show their key themselves.
    fn placed(&self, _key: &IdempotencyKey, _account: &AccountId, _call: &Call) {}

    /// The key under which a call was placed, as events, replies and reconciles told; the event's word counts most. `None`, the default, if
    /// nobody told, or so long ago that it was deleted. A reconcile takes no call for its own that is another key's.
    ///
    /// # Errors
    /// [`JournalError`].
    fn key_of<'a>(
        &'a self,
        _call: &'a CallRef,
    ) -> BoxFuture<'a, Result<Option<IdempotencyKey>, JournalError>> {
        Box::pin(ready(Ok(None)))
    }
}

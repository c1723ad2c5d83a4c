//! The journal in memory, with one fault at a time.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use trunkline::{BoxFuture, CallEvent, CallRef, CallState, Class, Clock, IdempotencyKey};
use trunkline_core_types::{
    AttemptJournal, CallJournal, Claim, Heard, Intent, JournalError, JournalErrorKind,
};
use trunkline_journal::MemoryJournal;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The end of a call cannot be noted.
    Settle,
    /// An event is kept, and nobody is told.
    HearAnswer,
    /// Open calls are listed up to the first page, once.
    SecondPage,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: MemoryJournal,
    fault: Mutex<Option<Fault>>,
}

impl Faulty {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { inner: MemoryJournal::new(clock), fault: Mutex::default() })
    }

    /// From now on.
    pub(crate) fn set(&self, fault: impl Into<Option<Fault>>) {
        *self.fault.lock().unwrap() = fault.into();
    }

    fn has(&self, fault: Fault) -> bool {
        *self.fault.lock().unwrap() == Some(fault)
    }

    fn settles(&self) -> Result<(), JournalError> {
        if self.has(Fault::Settle) { Err(failed()) } else { Ok(()) }
    }
}

fn failed() -> JournalError {
    JournalError::new(JournalErrorKind::Store, "the disk is full")
}

impl AttemptJournal for Faulty {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        self.inner.claim(intent)
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        self.inner.begin(intent, number)
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.inner.end(key, number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.settles()?;
        self.inner.settle(key, class, reply)
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.settles()?;
        self.inner.settle_claim(key, number, class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        if after.is_some() && self.has(Fault::SecondPage) {
            self.set(None);
            return Box::pin(std::future::ready(Err(failed())));
        }
        self.inner.open_calls(fenced_before, after, limit)
    }

    fn calls(&self) -> Option<&dyn CallJournal> {
        Some(self)
    }
}

impl CallJournal for Faulty {
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>> {
        Box::pin(async move {
            let heard = self.inner.calls().unwrap().hear(call, event).await;
            if self.has(Fault::HearAnswer) {
                std::future::pending::<()>().await;
            }
            heard
        })
    }

    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>> {
        self.inner.calls().unwrap().state(call)
    }
}

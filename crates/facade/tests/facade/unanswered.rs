//! A journal that keeps an event and does not get to say so.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trunkline::keys::StaticKeys;
use trunkline::{
    BoxFuture, CallEvent, CallRef, CallState, Class, Client, Clock, ErrorKind, IdempotencyKey, Journal,
    WebhookErrorKind,
};
use trunkline_core_types::{AttemptJournal, CallJournal, Claim, Heard, Intent, JournalError, VirtualClock};
use trunkline_journal::MemoryJournal;

use crate::peer::{Peer, account};
use crate::rig::keyed;
use crate::webhooks::{body, signed};

const SECRET: &str = "secret";

/// The journal in memory, which gives no answer to an event while it is told so.
#[derive(Debug)]
struct Mute(MemoryJournal, AtomicBool);

impl CallJournal for Mute {
    fn hear<'a>(
        &'a self,
        call: &'a CallRef,
        event: &'a CallEvent,
    ) -> BoxFuture<'a, Result<Heard, JournalError>> {
        Box::pin(async move {
            let heard = self.0.calls().unwrap().hear(call, event).await;
            if self.1.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            heard
        })
    }

    fn state<'a>(&'a self, call: &'a CallRef) -> BoxFuture<'a, Result<Option<CallState>, JournalError>> {
        self.0.calls().unwrap().state(call)
    }
}

impl AttemptJournal for Mute {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        self.0.claim(intent)
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        self.0.begin(intent, number)
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.0.end(key, number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.0.settle(key, class, reply)
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.0.settle_claim(key, number, class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        self.0.open_calls(fenced_before, after, limit)
    }

    fn calls(&self) -> Option<&dyn CallJournal> {
        Some(self)
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_ends_its_lease_although_nobody_hears_that_it_was_kept() {
    let (peer, clock) = (Peer::new([]), Arc::new(VirtualClock::new()));
    let journal = Arc::new(Mute(MemoryJournal::new(clock.clone()), AtomicBool::new(true)));
    let capped = account(&peer)
        .signing_keys(StaticKeys::new(SECRET.into()).unwrap())
        .live_calls(NonZeroU32::MIN, Duration::from_secs(3_600));
    let client = Client::builder(Journal::custom(journal.clone()))
        .clock(clock.clone())
        .account(capped)
        .build()
        .unwrap();
    client.place(keyed("k")).await.unwrap();
    let (webhooks, main) = (client.webhooks(), "main".parse().unwrap());
    let over = signed(&body("e1", clock.wall(), "completed", "k"), SECRET);
    let error = webhooks.accept(&main, &over).await.unwrap_err();
    assert_eq!(error.kind(), WebhookErrorKind::Unavailable);
    journal.1.store(false, Ordering::Relaxed);
    assert!(webhooks.accept(&main, &over).await.unwrap().duplicate, "it was kept");
    let quick = |key| keyed(key).timeout(Duration::from_secs(1));
    assert!(client.place(quick("l")).await.is_ok(), "the line is free");
    assert_eq!(client.place(quick("m")).await.unwrap_err().kind(), ErrorKind::Unsent, "and taken again");
}

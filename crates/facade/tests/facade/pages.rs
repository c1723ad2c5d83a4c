//! A journal that fails at a later page of its open calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trunkline::{BoxFuture, Class, Client, Clock, IdempotencyKey, Journal};
use trunkline_core_types::{AttemptJournal, Claim, Intent, JournalError, JournalErrorKind, VirtualClock};
use trunkline_journal::MemoryJournal;

use crate::peer::{Does, Peer, account};

const NONE: &str = r#"{"data":[],"has_more":false,"last_id":null}"#;

/// The journal in memory, which once lists only the beginning.
#[derive(Debug)]
struct Stumbles(MemoryJournal, AtomicBool);

impl AttemptJournal for Stumbles {
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

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        if after.is_some() && self.1.swap(false, Ordering::Relaxed) {
            let failed = JournalError::new(JournalErrorKind::Store, "busy");
            return Box::pin(std::future::ready(Err(failed)));
        }
        self.0.open_calls(fenced_before, after, limit)
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_takes_nothing_from_the_pages_before() {
    let clock = Arc::new(VirtualClock::new());
    let journal = Arc::new(Stumbles(MemoryJournal::new(clock.clone()), AtomicBool::new(true)));
    for n in 0..300 {
        let intent = Arc::new(Intent {
            key: format!("k{n:03}").parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: Bytes::new(),
            fence: clock.wall(),
        });
        journal.claim(&intent).await.unwrap();
        journal.begin(&intent, 1).await.unwrap();
    }
    let peer = Peer::new((0..300).map(|_| Does::Answers(200, NONE)));
    let client = Client::builder(Journal::custom(journal))
        .clock(clock.clone())
        .account(account(&peer))
        .build()
        .unwrap();
    clock.sleep_until(clock.now() + Duration::from_secs(100)).await;
    let report = client.reconciler().run_once(1_000).await;
    assert_eq!((report.findings.len(), report.proven_absent), (256, 256));
    assert!(report.error.is_some(), "and it says what failed");
    let report = client.reconciler().run_once(1_000).await;
    assert_eq!((report.findings.len(), report.error.is_some()), (44, false), "it goes on from there");
}

//! The steps of one call over a journal, without anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use trunkline_core_types::{AttemptJournal, Claim, Class, IdempotencyKey, Intent};

use crate::contenders::Contender;
use crate::sample;

pub(super) struct Steps {
    journal: Arc<dyn AttemptJournal>,
    next: AtomicU64,
}

impl Steps {
    pub(super) fn over(journal: Arc<dyn AttemptJournal>) -> Self {
        Self { journal, next: AtomicU64::new(0) }
    }

    fn intent(&self) -> Result<Arc<Intent>> {
        let key: IdempotencyKey = format!("tk_{:032x}", self.next.fetch_add(1, Ordering::Relaxed)).parse()?;
        Ok(Arc::new(Intent {
            key,
            account: "main".parse()?,
            detail: Bytes::from_static(sample::BODY.as_bytes()),
            fence: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
        }))
    }
}

impl Contender for Steps {
    fn new(_: std::net::SocketAddr) -> Result<Self> {
        bail!("a journal has no server")
    }

    async fn call(&self) -> Result<()> {
        let intent = self.intent()?;
        // Asked as the stack does.
        let claim = match self.journal.claim_at_once(&intent) {
            Some(claim) => claim?,
            None => self.journal.claim(&intent).await?,
        };
        ensure!(claim == Claim::Go { number: 1 }, "the key is taken");
        match self.journal.begin_at_once(&intent, 1) {
            Some(begun) => begun?,
            None => self.journal.begin(&intent, 1).await?,
        }
        let reply = Bytes::from_static(sample::REPLY.as_bytes());
        self.journal.end(&intent.key, 1, Class::Accepted, Some(reply.clone()))?;
        self.journal.settle_claim(&intent.key, 1, Class::Accepted, Some(reply))?;
        Ok(())
    }
}

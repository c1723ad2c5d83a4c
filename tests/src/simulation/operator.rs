//! The operator: reconciles now and then, and what the findings must agree with.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use trunkline::{Client, Clock, Finding};
use trunkline_core_types::VirtualClock;

/// What was found about one key, and when.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) finding: Finding,
    /// When the run began, and when it was over.
    pub(super) since: Instant,
    pub(super) at: Instant,
}

/// Runs the reconciler and keeps what it found.
#[derive(Debug)]
pub(super) struct Operator {
    /// Whether a key that is proven absent is freed.
    frees: bool,
    found: Mutex<Vec<Found>>,
}

impl Operator {
    pub(super) fn new(frees: bool) -> Self {
        Self { frees, found: Mutex::default() }
    }

    /// One run over this client, of up to `limit` calls.
    pub(super) async fn look(&self, client: &Client, clock: &VirtualClock, limit: usize) {
        let reconciler = client.reconciler();
        let reconciler = if self.frees { reconciler.free_proven_absent() } else { reconciler };
        let since = clock.now();
        let report = reconciler.run_once(limit).await;
        let at = clock.now();
        let found = report.findings.iter();
        let found =
            found.map(|(key, finding)| Found { key: key.as_str().to_owned(), finding: *finding, since, at });
        self.found.lock().unwrap().extend(found);
    }

    /// A run every so often, for as long as it is polled; `client` is the one that lives now.
    pub(super) async fn every(
        &self,
        interval: Duration,
        clock: &VirtualClock,
        client: impl Fn() -> Option<Client>,
    ) {
        loop {
            clock.sleep_until(clock.now() + interval).await;
            if let Some(client) = client() {
                self.look(&client, clock, 500).await;
            }
        }
    }

    /// Takes what was found since the last time.
    pub(super) fn take(&self) -> Vec<Found> {
        std::mem::take(&mut *self.found.lock().unwrap())
    }

    /// What a finding contradicts. `rung` says when the writing of the request began that rang under a key, and when it rang.
    pub(super) fn problem(found: &Found, rung: Option<(Instant, Instant)>) -> Option<String> {
        match (found.finding, rung) {
            (Finding::ProvenAbsent, Some((began, _))) if began <= found.since => {
                Some("was proven not placed, and its request rang somebody".to_owned())
            }
            (Finding::Placed, None) => Some("was found placed, and rang nobody".to_owned()),
            (Finding::Placed, Some((_, at))) if at > found.at => {
                Some("was found placed before it rang".to_owned())
            }
            _ => None,
        }
    }
}

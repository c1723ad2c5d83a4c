//! What the layers reported while the demo ran.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use trunkline::metrics::MetricsObserver;
use trunkline::{AccountId, Fact, InputError, Observer};

/// The most attempts whose time is kept.
const MOST: usize = 1 << 20;

/// Counts facts for the report and passes them on to the metrics.
#[derive(Debug)]
pub(super) struct Keep {
    metrics: MetricsObserver,
    seen: Mutex<Seen>,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The time of each attempt to place a call.
    pub(super) attempts: Vec<Duration>,
    pub(super) retries: u64,
    pub(super) late_permits: u64,
    pub(super) stale_connections: u64,
    pub(super) throttles: u64,
}

impl Keep {
    pub(super) fn new(account: &str) -> Result<Self, InputError> {
        let account: AccountId = account.parse()?;
        Ok(Self { metrics: MetricsObserver::new(&account), seen: Mutex::default() })
    }

    /// What was counted so far; counting begins anew.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Keep {
    fn saw(&self, fact: Fact) {
        self.metrics.saw(fact);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match fact {
            Fact::Attempt { operation, took, .. }
                if operation.as_str() == "create" && seen.attempts.len() < MOST =>
            {
                seen.attempts.push(took);
            }
            Fact::Retried { .. } => seen.retries += 1,
            Fact::LatePermit { .. } => seen.late_permits += 1,
            Fact::StaleConnection => seen.stale_connections += 1,
            Fact::Throttled { .. } => seen.throttles += 1,
            _ => {}
        }
    }
}

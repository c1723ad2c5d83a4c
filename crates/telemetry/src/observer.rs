//! The observer that turns facts into metrics.

use std::fmt;
use std::time::Duration;

use trunkline_core_types::{AccountId, BreakerState, Class, Fact, KeyErrorKind, Observer, Operation};

use crate::catalogue::{
    API_CALLS, API_LATENCY, ATTEMPT, CALLS, CIRCUIT_STATE, DENIED, JOURNAL_FAILURES, KEY_FETCHES, KEY_STALE,
    LATE_PERMITS, OPEN_CALL_OLDEST, OPEN_CALLS, OPERATION_DURATION, PACE_SHARE, QUEUE_TIME, RETRIES,
    RETRIES_REFUSED, RETRY_TOKENS, STALE_CONNECTIONS, THROTTLES, WAITS, WEBHOOKS,
};
use crate::series::Series;
use crate::status;

/// Counts the facts of one account in the metrics of the [`CATALOGUE`](crate::CATALOGUE).
///
/// It feeds whichever `metrics` recorder is installed when a fact comes, also one that is installed after it was made; without a
/// recorder it counts nothing. One account has at most a few hundred series; their keys are built here, so that a fact costs one or
/// two look-ups and no allocation.
pub struct MetricsObserver {
    account: AccountId,
    attempt: Series,
    calls: Series,
    operation: Series,
    retries: Series,
    retries_refused: Series,
    retry_tokens: Series,
    circuit: Series,
    waits: Series,
    denied: Series,
    late_permits: Series,
    throttles: Series,
    stale_connections: Series,
    key_fetches: Series,
    key_stale: Series,
    journal_failures: Series,
    webhooks: Series,
    queue_time: Series,
    pace_share: Series,
    open_calls: Series,
    open_call_oldest: Series,
    pair: Option<Pair>,
}

struct Pair {
    calls: Series,
    latency: Series,
}

impl MetricsObserver {
    /// An observer whose label `account` is this name.
    pub fn new(account: &AccountId) -> Self {
        let of = |metric| Series::of(metric, Some(account));
        Self {
            account: account.clone(),
            attempt: of(&ATTEMPT),
            calls: of(&CALLS),
            operation: of(&OPERATION_DURATION),
            retries: of(&RETRIES),
            retries_refused: of(&RETRIES_REFUSED),
            retry_tokens: of(&RETRY_TOKENS),
            circuit: of(&CIRCUIT_STATE),
            waits: of(&WAITS),
            denied: of(&DENIED),
            late_permits: of(&LATE_PERMITS),
            throttles: of(&THROTTLES),
            stale_connections: of(&STALE_CONNECTIONS),
            key_fetches: of(&KEY_FETCHES),
            key_stale: of(&KEY_STALE),
            journal_failures: of(&JOURNAL_FAILURES),
            webhooks: of(&WEBHOOKS),
            queue_time: of(&QUEUE_TIME),
            pace_share: of(&PACE_SHARE),
            open_calls: of(&OPEN_CALLS),
            open_call_oldest: of(&OPEN_CALL_OLDEST),
            pair: None,
        }
    }

    /// Also feeds `claude_api_calls_total{status_code}` and `claude_api_latency_seconds`, one count and one duration per attempt.
    /// Default: off. The pair does not name the account, so turn it on for one provider only.
    #[must_use]
    pub fn article_pair(mut self) -> Self {
        self.pair =
            Some(Pair { calls: Series::of(&API_CALLS, None), latency: Series::of(&API_LATENCY, None) });
        self
    }

    fn attempt(&self, operation: Operation, class: Class, status: Option<u16>, took: Duration) {
        self.attempt.record_at(end(operation, class), took);
        if let Some(pair) = &self.pair {
            pair.calls.count_at(status::index(status));
            pair.latency.record_at(0, took);
        }
    }

    fn circuit(&self, now: BreakerState) {
        for state in BreakerState::ALL {
            self.circuit.set_at(&[state.as_str()], f64::from(u8::from(state == now)));
        }
    }

    fn call(&self, operation: Operation, class: Class, took: Duration) {
        self.operation.record_at(end(operation, class), took);
        if operation == Operation::Create {
            self.calls.count_at(outcome(class));
        }
    }
}

/// The place of a class among the values of the label `outcome`.
fn outcome(class: Class) -> usize {
    match class {
        Class::Unsent => 0,
        Class::Deferred => 1,
        Class::Rejected(_) => 2,
        Class::Accepted => 3,
        Class::Ambiguous => 4,
    }
}

/// The place of a series with the labels `operation` and `outcome`.
fn end(operation: Operation, class: Class) -> usize {
    operation as usize * 5 + outcome(class)
}

impl Observer for MetricsObserver {
    fn saw(&self, fact: Fact) {
        match fact {
            Fact::Attempt { operation, class, status, took } => self.attempt(operation, class, status, took),
            Fact::Call { operation, class, took, .. } => self.call(operation, class, took),
            Fact::Retried { operation, class, .. } => {
                self.retries.count(&[operation.as_str(), class.as_str()]);
            }
            Fact::RetryRefused { operation, class } => {
                self.retries_refused.count(&[operation.as_str(), class.as_str()]);
            }
            Fact::RetryBudget { tokens } => self.retry_tokens.set(tokens.into()),
            Fact::Breaker { state } => self.circuit(state),
            Fact::Permitted { lane, waited } => self.waits.record_at(lane as usize, waited),
            Fact::Denied { kind, .. } => self.denied.count(&[kind.as_str()]),
            Fact::LatePermit { .. } => self.late_permits.count(&[]),
            Fact::Throttled { .. } => self.throttles.count(&[]),
            Fact::StaleConnection => self.stale_connections.count(&[]),
            Fact::KeyFetch { backend, error, .. } => {
                self.key_fetches.count(&[backend, error.map_or("ok", KeyErrorKind::as_str)]);
            }
            Fact::KeyStale { backend, .. } => self.key_stale.count(&[backend]),
            Fact::JournalFailed { step } => self.journal_failures.count(&[step]),
            Fact::Webhook { result } => self.webhooks.count(&[result]),
            Fact::Queued { waited } => self.queue_time.record_at(0, waited),
            Fact::PaceShare { percent } => self.pace_share.set(f64::from(percent) / 100.0),
            Fact::OpenCalls { count, oldest } => {
                // A double holds every count exactly up to 2^53.
                self.open_calls.set(count as f64);
                self.open_call_oldest.set(oldest.as_secs_f64());
            }
            // A fact that this version does not know has no metric.
            _ => {}
        }
    }
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsObserver")
            .field("account", &self.account)
            .field("article_pair", &self.pair.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::Lane;

    #[test]
    fn places_are_those_of_the_label_sets() {
        let seen = MetricsObserver::new(&"main".parse().unwrap());
        for class in Class::ALL {
            assert_eq!(outcome(class), seen.calls.position(&[class.as_str()]));
            for operation in Operation::ALL {
                let labels = [operation.as_str(), class.as_str()];
                assert_eq!(end(operation, class), seen.attempt.position(&labels));
                assert_eq!(end(operation, class), seen.operation.position(&labels));
            }
        }
        for lane in Lane::ALL {
            assert_eq!(lane as usize, seen.waits.position(&[lane.as_str()]));
        }
    }
}

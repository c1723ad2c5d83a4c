//! Every metric, once: its name, kind, unit, help and the closed sets of its labels.

use metrics::Unit;

use crate::status::CODES;

/// How a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows; without a unit.
    Counter,
    /// Goes up and down; without a unit.
    Gauge,
    /// A distribution of seconds. Upper bounds of its buckets in milliseconds; [`Metric::buckets`] gives them in seconds.
    Histogram(&'static [u32]),
}

/// What a label may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Values {
    /// The caller's name of the account: as many values as there are accounts.
    Account,
    /// This crate's version: one value.
    Version,
    /// One of these. Where the set can grow its last value is `other`.
    Closed(&'static [&'static str]),
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its full name, unit suffix included.
    pub name: &'static str,
    /// How it counts.
    pub kind: MetricKind,
    /// What it counts, in one sentence.
    pub help: &'static str,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [Label],
}

impl Metric {
    /// The upper bounds of its buckets in seconds, without the infinite one; empty if it is no histogram.
    ///
    /// ```
    /// # use trunkline_telemetry::ARTICLE_PAIR;
    /// assert_eq!(ARTICLE_PAIR[1].buckets(), [0.1, 0.5, 1.0, 2.0, 5.0]);
    /// ```
    pub fn buckets(&self) -> Vec<f64> {
        match self.kind {
            // Divided, not multiplied by 0.001, so that 100 gives exactly 0.1.
            MetricKind::Histogram(bounds) => bounds.iter().map(|ms| f64::from(*ms) / 1000.0).collect(),
            MetricKind::Counter | MetricKind::Gauge => Vec::new(),
        }
    }

    /// How many series it can have for one account.
    ///
    /// ```
    /// # use trunkline_telemetry::CATALOGUE;
    /// // Everything, for one account: a bound on the recorder's memory.
    /// assert!(CATALOGUE.iter().map(|metric| metric.max_series()).sum::<usize>() < 200);
    /// ```
    pub fn max_series(&self) -> usize {
        let sizes = self.labels.iter().map(|label| match label.values {
            Values::Closed(values) => values.len(),
            Values::Account | Values::Version => 1,
        });
        sizes.product()
    }
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const ACCOUNT: Label = Label { name: "account", values: Values::Account };
const OPERATION: Label = label("operation", &["create", "change", "read"]);
const CLASSES: &[&str] = &["unsent", "deferred", "rejected", "accepted", "ambiguous"];
const OUTCOME: Label = label("outcome", CLASSES);
const BACKEND: Label = label("backend", &["env", "file", "static", "vault", "other"]);
const RESULTS: &[&str] =
    &["ok", "missing", "invalid", "denied", "unavailable", "timeout", "wrong_origin", "other"];
const WEBHOOK_RESULTS: &[&str] = &[
    "accepted",
    "duplicate",
    "signature",
    "stale",
    "unreadable",
    "unsupported",
    "account",
    "unavailable",
    "other",
];

/// OpenTelemetry's bounds for HTTP, and 30 seconds.
const HTTP_BOUNDS: &[u32] =
    &[5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000];
/// From a permit at once to a long queue.
const WAIT_BOUNDS: &[u32] = &[1, 5, 25, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

pub(crate) const ATTEMPT: Metric = Metric {
    name: "trunkline_http_client_request_duration_seconds",
    kind: MetricKind::Histogram(HTTP_BOUNDS),
    help: "Duration of one HTTP attempt, from the hand-over to the transport to its end.",
    labels: &[ACCOUNT, OPERATION, OUTCOME],
};
pub(crate) const CALLS: Metric = Metric {
    name: "trunkline_calls_total",
    kind: MetricKind::Counter,
    help: "Calls whose placing ended, by the fold of their attempts.",
    labels: &[ACCOUNT, OUTCOME],
};
pub(crate) const OPERATION_DURATION: Metric = Metric {
    name: "trunkline_operation_duration_seconds",
    kind: MetricKind::Histogram(WAIT_BOUNDS),
    help: "Duration of a whole operation with its waits and attempts; not of the conversation.",
    labels: &[ACCOUNT, OPERATION, OUTCOME],
};
pub(crate) const RETRIES: Metric = Metric {
    name: "trunkline_retries_total",
    kind: MetricKind::Counter,
    help: "Repeats that the retry gate allowed, by the outcome of the attempt before.",
    labels: &[ACCOUNT, OPERATION, OUTCOME],
};
pub(crate) const RETRIES_REFUSED: Metric = Metric {
    name: "trunkline_retries_refused_total",
    kind: MetricKind::Counter,
    help: "Repeats that the gate allowed and the account's retry budget could not pay for.",
    labels: &[ACCOUNT, OPERATION, OUTCOME],
};
pub(crate) const RETRY_TOKENS: Metric = Metric {
    name: "trunkline_retry_budget_tokens",
    kind: MetricKind::Gauge,
    help: "Tokens left in the retry budget, since it was first paid from.",
    labels: &[ACCOUNT],
};
pub(crate) const CIRCUIT_STATE: Metric = Metric {
    name: "trunkline_circuit_state",
    kind: MetricKind::Gauge,
    help: "1 for the state that the account's breaker is in, 0 for the others.",
    labels: &[ACCOUNT, label("state", &["closed", "open", "half_open"])],
};
pub(crate) const WAITS: Metric = Metric {
    name: "trunkline_ratelimit_wait_seconds",
    kind: MetricKind::Histogram(WAIT_BOUNDS),
    help: "Time until a permit came.",
    labels: &[ACCOUNT, label("lane", &["interactive", "bulk"])],
};
pub(crate) const DENIED: Metric = Metric {
    name: "trunkline_ratelimit_denied_total",
    kind: MetricKind::Counter,
    help: "Permits refused.",
    labels: &[ACCOUNT, label("kind", &["deadline", "full", "never", "closed", "other"])],
};
pub(crate) const LATE_PERMITS: Metric = Metric {
    name: "trunkline_late_permits_total",
    kind: MetricKind::Counter,
    help: "Permits that were older than their tolerance when the first byte could leave.",
    labels: &[ACCOUNT],
};
pub(crate) const THROTTLES: Metric = Metric {
    name: "trunkline_throttles_total",
    kind: MetricKind::Counter,
    help: "Throttles by the provider, each of which pauses the account.",
    labels: &[ACCOUNT],
};
pub(crate) const STALE_CONNECTIONS: Metric = Metric {
    name: "trunkline_stale_connections_total",
    kind: MetricKind::Counter,
    help: "Pooled connections found dead before a byte left.",
    labels: &[ACCOUNT],
};
pub(crate) const KEY_FETCHES: Metric = Metric {
    name: "trunkline_key_fetches_total",
    kind: MetricKind::Counter,
    help: "Keys fetched from their store, by store and result.",
    labels: &[ACCOUNT, BACKEND, label("result", RESULTS)],
};
pub(crate) const KEY_STALE: Metric = Metric {
    name: "trunkline_key_stale_total",
    kind: MetricKind::Counter,
    help: "Times the last good key was served because its store did not answer.",
    labels: &[ACCOUNT, BACKEND],
};
pub(crate) const JOURNAL_FAILURES: Metric = Metric {
    name: "trunkline_journal_failures_total",
    kind: MetricKind::Counter,
    help: "Steps that the journal could not note.",
    labels: &[label("step", &["claim", "begin", "end", "settle", "other"])],
};
pub(crate) const WEBHOOKS: Metric = Metric {
    name: "trunkline_webhooks_total",
    kind: MetricKind::Counter,
    help: "Callbacks that came, by what became of them.",
    labels: &[ACCOUNT, label("result", WEBHOOK_RESULTS)],
};
pub(crate) const QUEUE_TIME: Metric = Metric {
    name: "trunkline_provider_queue_seconds",
    kind: MetricKind::Histogram(WAIT_BOUNDS),
    help: "Time from a call's creation at the provider to its first ring, as its callback told it.",
    labels: &[ACCOUNT],
};
pub(crate) const PACE_SHARE: Metric = Metric {
    name: "trunkline_ratelimit_pace_share",
    kind: MetricKind::Gauge,
    help: "Share of the account's pace that is used since it was first slowed down: below 1 while the provider queues too long.",
    labels: &[ACCOUNT],
};
pub(crate) const OPEN_CALLS: Metric = Metric {
    name: "trunkline_open_calls",
    kind: MetricKind::Gauge,
    help: "Calls whose time is over and whose outcome is not known, as of the last reconcile.",
    labels: &[ACCOUNT],
};
pub(crate) const OPEN_CALL_OLDEST: Metric = Metric {
    name: "trunkline_open_call_oldest_seconds",
    kind: MetricKind::Gauge,
    help: "Seconds since the oldest of the open calls was to be over, as of the last reconcile; 0 without one.",
    labels: &[ACCOUNT],
};
pub(crate) const BUILD_INFO: Metric = Metric {
    name: "trunkline_build_info",
    kind: MetricKind::Gauge,
    help: "Always 1; the version is a label. Its absence means that nobody counts.",
    labels: &[Label { name: "version", values: Values::Version }],
};
pub(crate) const API_CALLS: Metric = Metric {
    name: "claude_api_calls_total",
    kind: MetricKind::Counter,
    help: "HTTP attempts by status code; none where no reply came.",
    labels: &[label("status_code", &CODES)],
};
pub(crate) const API_LATENCY: Metric = Metric {
    name: "claude_api_latency_seconds",
    kind: MetricKind::Histogram(&[100, 500, 1_000, 2_000, 5_000]),
    help: "Duration of one HTTP attempt.",
    labels: &[],
};

/// Every metric that a [`MetricsObserver`](crate::MetricsObserver) feeds by default, and `trunkline_build_info`.
pub const CATALOGUE: &[Metric] = &[
    ATTEMPT,
    CALLS,
    OPERATION_DURATION,
    RETRIES,
    RETRIES_REFUSED,
    RETRY_TOKENS,
    CIRCUIT_STATE,
    WAITS,
    DENIED,
    LATE_PERMITS,
    THROTTLES,
    STALE_CONNECTIONS,
    KEY_FETCHES,
    KEY_STALE,
    JOURNAL_FAILURES,
    WEBHOOKS,
    QUEUE_TIME,
    PACE_SHARE,
    OPEN_CALLS,
    OPEN_CALL_OLDEST,
    BUILD_INFO,
];

/// The pair of [`MetricsObserver::article_pair`](crate::MetricsObserver::article_pair): counter and histogram, in this order.
pub const ARTICLE_PAIR: &[Metric] = &[API_CALLS, API_LATENCY];

/// Tells the installed recorder names, units and help of every metric, and sets `trunkline_build_info` to 1.
///
/// For a recorder of your own, once, after it is installed; `PrometheusExporter` does it by itself. Without a recorder it does nothing.
pub fn describe() {
    for metric in CATALOGUE.iter().chain(ARTICLE_PAIR) {
        let (name, help) = (metric.name.into(), metric.help.into());
        metrics::with_recorder(|recorder| match metric.kind {
            MetricKind::Counter => recorder.describe_counter(name, Some(Unit::Count), help),
            MetricKind::Gauge => recorder.describe_gauge(name, None, help),
            MetricKind::Histogram(_) => recorder.describe_histogram(name, Some(Unit::Seconds), help),
        });
    }
    crate::series::Series::of(&BUILD_INFO, None).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use trunkline_core_types::{BreakerState, Class, DeniedKind, KeyErrorKind, Lane, Operation};

    fn closed(metric: &Metric, name: &str) -> BTreeSet<&'static str> {
        let label = metric.labels.iter().find(|label| label.name == name).unwrap();
        let Values::Closed(values) = label.values else { panic!("{name} is open") };
        assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len(), "{name} has a value twice");
        values.iter().copied().collect()
    }

    #[test]
    fn closed_sets_are_those_of_the_types() {
        let set = |values: &[&'static str]| values.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(closed(&ATTEMPT, "operation"), set(&Operation::ALL.map(Operation::as_str)));
        assert_eq!(closed(&ATTEMPT, "outcome"), set(&Class::ALL.map(Class::as_str)));
        assert_eq!(closed(&WAITS, "lane"), set(&Lane::ALL.map(Lane::as_str)));
        let states = set(&BreakerState::ALL.map(BreakerState::as_str));
        assert_eq!(closed(&CIRCUIT_STATE, "state"), states);
        use {DeniedKind as D, KeyErrorKind as K};
        let denied = [D::Deadline, D::Full, D::Never, D::Closed].map(D::as_str);
        assert_eq!(closed(&DENIED, "kind"), &set(&denied) | &set(&["other"]));
        let key =
            [K::Missing, K::Invalid, K::Denied, K::Unavailable, K::Timeout, K::WrongOrigin].map(K::as_str);
        assert_eq!(closed(&KEY_FETCHES, "result"), &set(&key) | &set(&["ok", "other"]));
        use trunkline_core_types::WebhookErrorKind as W;
        let refused = [W::Signature, W::Stale, W::Unreadable, W::Unsupported, W::Account, W::Unavailable];
        let refused = set(&refused.map(W::as_str));
        assert_eq!(closed(&WEBHOOKS, "result"), &refused | &set(&["accepted", "duplicate", "other"]));
    }

    #[test]
    fn names_follow_prometheus_and_are_unique() {
        let all: Vec<_> = CATALOGUE.iter().chain(ARTICLE_PAIR).collect();
        assert_eq!(all.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), all.len());
        for metric in all {
            let suffix = match metric.kind {
                MetricKind::Counter => "_total",
                // A gauge ends with its unit, and a count has none.
                MetricKind::Gauge => "",
                MetricKind::Histogram(_) => "_seconds",
            };
            assert!(metric.name.ends_with(suffix), "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
            assert!(metric.buckets().is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }
}

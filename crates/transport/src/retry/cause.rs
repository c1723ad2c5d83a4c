//! Why an attempt is repeated, as far as pauses and costs differ.

use std::time::Duration;

use http::StatusCode;
use trunkline_core_types::{Class, FailureKind, Outcome, retry_after};

/// Why an attempt is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The provider said: too many.
    Throttle,
    /// No answer, or no connection, in time.
    Timeout,
    /// Our own side held it back, or renewed its key. The provider bears no load of it, so the budget does not pay.
    Local,
    /// Anything else.
    Other,
}

impl Cause {
    pub(super) fn of(outcome: &Outcome) -> Self {
        use FailureKind as Kind;
        match (&outcome.result, outcome.status()) {
            (_, Some(StatusCode::TOO_MANY_REQUESTS)) => Self::Throttle,
            (Ok(_), Some(StatusCode::UNAUTHORIZED)) if outcome.class == Class::Deferred => Self::Local,
            (Err(error), None) => match error.kind() {
                Kind::Timeout => Self::Timeout,
                Kind::LatePermit
                | Kind::StaleConnection
                | Kind::BreakerOpen
                | Kind::Denied(_)
                | Kind::Key(_) => Self::Local,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// The wait that was asked for: by the limiter, by the judge of a refusal, or by a reply that leaves the outcome open (503).
pub(super) fn asked(outcome: &Outcome) -> Option<Duration> {
    outcome.wait.or_else(|| match &outcome.result {
        Ok(reply) if outcome.class == Class::Ambiguous => retry_after(reply.headers()),
        _ => None,
    })
}

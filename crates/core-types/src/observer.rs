//! Facts that every layer reports to telemetry, through one method and nowhere else.

use std::fmt::Debug;
use std::time::Duration;

use crate::{Class, DeniedKind, KeyErrorKind, Lane, Operation};

/// One thing that happened. Holds closed sets and numbers only, so that no label can carry a secret or a phone number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// An attempt ended.
    Attempt {
        /// What it was to do.
        operation: Operation,
        /// What is known of it.
        class: Class,
        /// The reply's status, if a head came.
        status: Option<u16>,
        /// From the hand-over to the transport to its end.
        took: Duration,
    },
    /// A call or another whole operation ended, with all its attempts.
    Call {
        /// What it was to do.
        operation: Operation,
        /// The fold of its attempts.
        class: Class,
        /// Attempts that counted.
        tries: u32,
        /// From its start to its end, waits included.
        took: Duration,
    },
    /// The retry gate allowed a repeat.
    Retried {
        /// What is repeated.
        operation: Operation,
        /// The class of the attempt that failed.
        class: Class,
        /// The pause before the repeat.
        after: Duration,
    },
    /// The gate allowed a repeat, but the account's retry budget could not pay for it.
    RetryRefused {
        /// What is not repeated.
        operation: Operation,
        /// The class of the attempt that failed.
        class: Class,
    },
    /// The retry budget changed.
    RetryBudget {
        /// Tokens left.
        tokens: u32,
    },
    /// The breaker of the account changed its state, or was made.
    Breaker {
        /// Its state now.
        state: BreakerState,
    },
    /// A permit came after a wait.
    Permitted {
        /// Which line.
        lane: Lane,
        /// How long it took.
        waited: Duration,
    },
    /// A permit was refused.
    Denied {
        /// Which line.
        lane: Lane,
        /// Why.
        kind: DeniedKind,
    },
    /// A permit was older than its tolerance when its first byte could leave, and was refused.
    LatePermit {
        /// How much too late.
        by: Duration,
    },
    /// The provider throttled; the account pauses.
    Throttled {
        /// How long.
        pause: Duration,
    },
    /// A pooled connection turned out dead before a byte left; the attempt is repeated at once.
    StaleConnection,
    /// A key was fetched from its store, or could not be.
    KeyFetch {
        /// Which kind of store: `env`, `file`, `vault`.
        backend: &'static str,
        /// The failure, if it was one.
        error: Option<KeyErrorKind>,
        /// How long it took.
        took: Duration,
    },
    /// The last good key was served because its store did not answer.
    KeyStale {
        /// Which kind of store.
        backend: &'static str,
        /// Age of the key.
        age: Duration,
    },
    /// The journal could not note something.
    JournalFailed {
        /// Which step: `claim`, `begin`, `end`, `settle`.
        step: &'static str,
    },
    /// A callback came.
    Webhook {
        /// What became of it: `accepted`, `duplicate`, or the kind of a `WebhookError`.
        result: &'static str,
    },
    /// A callback told how long a call had waited at the provider before its phone rang.
    Queued {
        /// From its creation to its first ring.
        waited: Duration,
    },
    /// The pacer slowed down because the provider queues too long, or took a step back up.
    PaceShare {
        /// Of the account's pace, 1 to 100.
        percent: u32,
    },
    /// A reconcile counted the calls of the account whose time is over and whose outcome is not known.
    OpenCalls {
        /// How many.
        count: u64,
        /// How long ago the oldest of them was to be over; zero if there is none.
        oldest: Duration,
    },
}

/// What an account's breaker does with the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Lets it pass.
    Closed,
    /// Refuses it: the provider failed too often just now.
    Open,
    /// Lets it pass if it is one of the few that probe.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Takes facts. Must not block and must not fail.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Something happened.
    fn saw(&self, fact: Fact);
}

/// An observer that drops every fact: the default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Unobserved {}

impl Observer for Unobserved {
    fn saw(&self, _fact: Fact) {}
}

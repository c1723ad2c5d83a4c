//! One call on its way.

use std::time::{Duration, Instant};

use trunkline_core_types::{Deadline, Evidence, IdempotencyKey, Lane, NewCall};
use trunkline_transport::RetrySettings;

use crate::Order;
use crate::inner::Inner;

/// The most time a call may have from its first byte on. A reconcile lists no further back.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(86_400);

/// One call on its way, with everything decided that the caller can decide.
pub(crate) struct Job {
    pub(crate) key: IdempotencyKey,
    /// The key is the caller's, so others may use it too.
    pub(crate) shared: bool,
    pub(crate) call: NewCall,
    pub(crate) lane: Lane,
    pub(crate) deadline: Deadline,
    pub(crate) evidence: Evidence,
    pub(crate) retry: Option<RetrySettings>,
}

impl Job {
    pub(crate) fn new(inner: &Inner, order: Order, deadline: Deadline, evidence: Evidence) -> Self {
        let shared = order.key.is_some();
        let key = order.key.unwrap_or_else(|| IdempotencyKey::mint(&*inner.shared.entropy));
        let lane = order.lane.unwrap_or(match deadline {
            Deadline::At(_) => Lane::Interactive,
            Deadline::AfterPermit { .. } => Lane::Bulk,
        });
        Self { key, shared, call: order.call, lane, deadline, evidence, retry: order.retry }
    }

    /// When its time is over: in bulk counted from its first permit, once it has one.
    pub(crate) fn ends_by(&self) -> Instant {
        match (self.deadline, self.evidence.permitted()) {
            (Deadline::AfterPermit { then, .. }, Some(first)) => first + then,
            (deadline, _) => deadline.ends_by(),
        }
    }

    /// Until when to wait for anything before the first permit.
    pub(crate) fn wait_until(&self) -> Instant {
        match self.deadline {
            Deadline::At(at) => at,
            Deadline::AfterPermit { wait_until, .. } => wait_until,
        }
    }
}

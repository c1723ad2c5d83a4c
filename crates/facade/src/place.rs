//! The life of one call: check, claim, lease, stack, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline_core_types::{
    Attempt, CallRef, Claim, Class, ClockExt, Deadline, Evidence, IdempotencyKey, Intent, Lane, NewCall,
    Outcome, Reply, Scope,
};

use crate::detail::detail;
use crate::flights::mismatch;
use crate::inner::{Inner, Route, closed, refusal};
use crate::{Error, Order, Placed};

/// One call on its way, with everything decided that the caller can decide.
pub(crate) struct Job {
    pub(crate) key: IdempotencyKey,
    /// The key is the caller's, so others may use it too.
    shared: bool,
    call: NewCall,
    detail: Bytes,
    lane: Lane,
    deadline: Deadline,
    evidence: Evidence,
}

impl Job {
    pub(crate) fn new(inner: &Inner, order: Order, deadline: Deadline, evidence: Evidence) -> Self {
        let shared = order.key.is_some();
        let key = order.key.unwrap_or_else(|| IdempotencyKey::mint(&*inner.shared.entropy));
        let lane = order.lane.unwrap_or(match deadline {
            Deadline::At(_) => Lane::Interactive,
            Deadline::AfterPermit { .. } => Lane::Bulk,
        });
        Self { key, shared, detail: detail(&order.call), call: order.call, lane, deadline, evidence }
    }

    /// Until when to wait for anything before the first permit.
    fn wait_until(&self) -> Instant {
        match self.deadline {
            Deadline::At(at) => at,
            Deadline::AfterPermit { wait_until, .. } => wait_until,
        }
    }
}

/// Places a call. Two callers of one key share one flight.
pub(crate) async fn place(inner: Arc<Inner>, job: Job) -> Result<Placed, Error> {
    let key = job.key.clone();
    let placed = if job.shared {
        let (detail, flights) = (job.detail.clone(), inner.clone());
        flights.flights.join(&key, &detail, fly(inner, job))?.await
    } else {
        fly(inner, job).await
    };
    placed.map_err(|error| error.with_key(&key))
}

async fn fly(inner: Arc<Inner>, job: Job) -> Result<Placed, Error> {
    let _pass = inner.drain.enter().ok_or_else(closed)?;
    let route = inner.first_route();
    let request = route.provider.create(&job.call, &job.key).map_err(Error::provider)?;
    inner.ask(&job).await?;
    let intent = inner.intent(route, &job);
    let number = match inner.claim(&intent, job.wait_until()).await? {
        Claim::Go { number } => number,
        Claim::Open => return Err(open()),
        Claim::Mismatch => return Err(mismatch()),
        Claim::Settled(class, record) => return inner.replay(route, &job.key, class, record),
    };
    let mut claimed = Claimed { inner: &inner, route, job: &job, leased: false, settled: false };
    claimed.lease().await?;
    let idempotency = route.provider.profile().idempotency;
    let attempt = Attempt::create(request, intent, idempotency, job.deadline)
        .numbered(number)
        .in_lane(job.lane)
        .reporting_to(job.evidence.clone());
    let outcome = route.stack.send(attempt).await;
    claimed.settle(outcome.class, record(&outcome));
    drop(claimed);
    inner.conclude(route, &job.key, &outcome, false)
}

impl Inner {
    async fn ask(&self, job: &Job) -> Result<(), Error> {
        let Some(check) = &self.check else { return Ok(()) };
        let answer = self.shared.clock.bounded(job.wait_until(), check.allow(&job.call)).await;
        match answer {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(Error::not_allowed(&reason)),
            None => Err(Error::unsent("the on_dial check did not answer in time; nothing was sent")),
        }
    }

    fn intent(&self, route: &Route, job: &Job) -> Arc<Intent> {
        let left = job.deadline.ends_by().saturating_duration_since(self.shared.clock.now());
        let fence = self.shared.clock.wall() + left;
        Arc::new(Intent {
            key: job.key.clone(),
            account: route.account.clone(),
            detail: job.detail.clone(),
            fence,
        })
    }

    async fn claim(&self, intent: &Arc<Intent>, until: Instant) -> Result<Claim, Error> {
        match self.shared.clock.bounded(until, self.shared.journal.claim(intent)).await {
            Some(Ok(claim)) => Ok(claim),
            Some(Err(error)) => {
                Err(Error::unsent("the journal could not note the call, so it was not sent").caused_by(error))
            }
            None => Err(Error::unsent("the journal did not answer in time, so nothing was sent")),
        }
    }

    /// The answer that a settled key keeps.
    fn replay(
        &self,
        route: &Route,
        key: &IdempotencyKey,
        class: Class,
        record: Option<Bytes>,
    ) -> Result<Placed, Error> {
        let reply = record.as_ref().and_then(Reply::from_record);
        match (class, reply) {
            (_, Some(reply)) => self.conclude(route, key, &Outcome::new(class, Ok(reply)), true),
            (Class::Accepted, None) => {
                Ok(Placed { key: key.clone(), reference: None, call: None, replayed: true, tries: 0 })
            }
            (_, None) => Err(Error::ambiguous("the key was settled without a reply; look the call up")),
        }
    }

    fn conclude(
        &self,
        route: &Route,
        key: &IdempotencyKey,
        outcome: &Outcome,
        replayed: bool,
    ) -> Result<Placed, Error> {
        if outcome.class != Class::Accepted {
            return Err(Error::outcome(outcome, refusal(&*route.provider, outcome)));
        }
        let call = outcome.result.as_ref().ok().and_then(|reply| route.provider.read_call(reply).ok());
        let reference =
            call.as_ref().map(|call| CallRef { account: route.account.clone(), id: call.id.clone() });
        let tries = if replayed { 0 } else { outcome.tries };
        Ok(Placed { key: key.clone(), reference, call, replayed, tries })
    }
}

fn open() -> Error {
    Error::ambiguous(
        "an earlier attempt under this key is under way or its outcome is unknown; nobody was rung this time, look the call up",
    )
}

/// What `place` under the same key gives again.
fn record(outcome: &Outcome) -> Option<Bytes> {
    match (outcome.class, &outcome.result) {
        (Class::Accepted | Class::Rejected(Scope::Call), Ok(reply)) => Some(reply.to_record()),
        _ => None,
    }
}

/// A key that is ours until it is settled, and the live-call lease under it. Dropped with the future it settles with what is known.
struct Claimed<'a> {
    inner: &'a Inner,
    route: &'a Route,
    job: &'a Job,
    leased: bool,
    settled: bool,
}

impl Claimed<'_> {
    async fn lease(&mut self) -> Result<(), Error> {
        let Some((leases, ttl)) = &self.route.leases else { return Ok(()) };
        // A lease may be taken although its future is dropped.
        self.leased = true;
        let ttl: Duration = *ttl;
        match leases.take(self.job.key.as_str(), self.job.wait_until(), ttl).await {
            Ok(()) => Ok(()),
            Err(denied) => {
                let message =
                    "no live call of the account may be added before the deadline; nothing was sent";
                Err(Error::unsent(message).caused_by(denied).with_wait(denied.wait))
            }
        }
    }

    fn settle(&mut self, class: Class, record: Option<Bytes>) {
        self.settled = true;
        if let (Some((leases, _)), false, true) = (&self.route.leases, class.may_have_acted(), self.leased) {
            leases.release(self.job.key.as_str());
        }
        if let Err(error) = self.inner.shared.journal.settle(&self.job.key, class, record) {
            tracing::warn!(%error, "a call's end could not be noted; it stays open in the journal");
        }
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(self.job.evidence.folded(), None);
        }
    }
}

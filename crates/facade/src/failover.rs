//! From account to account, as long as nobody can have been rung.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use trunkline_core_types::{
    Attempt, AttemptError, Class, Denied, DeniedKind, FailureKind, Intent, JournalErrorKind, Outcome,
};

use crate::Error;
use crate::inner::{Inner, Route};
use crate::job::Job;

/// One account through which a call can be placed, with the request for it.
pub(crate) struct Way<'a> {
    pub(crate) route: &'a Route,
    request: Request<Bytes>,
}

/// The accounts that can place the call, at least one, in the order of preference. Those whose provider cannot say it are left out,
/// and those that are cut off for now come last.
pub(crate) fn ways<'a>(routes: &'a [Route], job: &Job) -> Result<Vec<Way<'a>>, Error> {
    let (mut ways, mut problem) = (Vec::with_capacity(1), None);
    for route in routes {
        match route.request(&job.call, &job.key) {
            Ok(request) => ways.push(Way { route, request }),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match problem {
        Some(error) if ways.is_empty() => return Err(Error::provider(error)),
        _ => ways.sort_by_key(|way| way.route.is_cut_off()),
    }
    Ok(ways)
}

/// A key that is ours until it is settled, and the live-call lease under it. Dropped with the future it settles with what is known.
pub(crate) struct Claimed<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) job: &'a Job,
    pub(crate) leased: Option<&'a Route>,
    pub(crate) settled: bool,
}

impl<'a> Claimed<'a> {
    /// Tries the ways in their order; gives the last account and the outcome of all.
    pub(crate) async fn go(
        &mut self,
        ways: Vec<Way<'a>>,
        intent: Arc<Intent>,
        number: u32,
    ) -> (&'a Route, Outcome) {
        let (mut ended, mut tries) = (None, 0);
        for way in ways {
            let through = through(way.route, &intent);
            let Some(attempt) = self.attempt(way.route, way.request, through, number, ended.is_none()) else {
                break;
            };
            let outcome = self.send(way.route, attempt).await;
            tries += outcome.tries;
            let goes_on = self.goes_on(&outcome);
            ended = Some((way.route, outcome));
            if !goes_on {
                break;
            }
        }
        let (route, mut outcome) = ended.unwrap_or_else(|| unreachable!("a call without a way is bad input"));
        outcome.tries = tries;
        (route, outcome)
    }

    fn attempt(
        &self,
        route: &Route,
        request: Request<Bytes>,
        intent: Arc<Intent>,
        number: u32,
        is_first: bool,
    ) -> Option<Attempt> {
        let (job, idempotency) = (self.job, route.provider.profile().idempotency);
        let mut attempt = match is_first {
            true => Attempt::create(request, intent, idempotency, job.deadline)
                .numbered(number)
                .reporting_to(job.evidence.clone()),
            false => Attempt::elsewhere(request, intent, idempotency, job.deadline, &job.evidence)?,
        };
        if let Some(retry) = &job.retry {
            retry.clone().attach(&mut attempt);
        }
        Some(attempt.in_lane(job.lane))
    }

    async fn send(&mut self, route: &'a Route, attempt: Attempt) -> Outcome {
        match self.lease(route).await {
            Ok(()) => route.stack.send(attempt).await,
            Err(denied) => {
                let message =
                    "no live call of the account may be added before the deadline; nothing was sent";
                let error = AttemptError::new(FailureKind::Denied(denied.kind), message).with_source(denied);
                Outcome::unsent(error).after(denied.wait)
            }
        }
    }

    /// Whether another account may still place the call, and could: the journal and a closed client are the same for all.
    fn goes_on(&self, outcome: &Outcome) -> bool {
        if !outcome.class.may_go_elsewhere() {
            return false;
        }
        let kind = outcome.result.as_ref().err().map(|error| error.kind());
        let shared = matches!(kind, Some(FailureKind::Journal | FailureKind::Denied(DeniedKind::Closed)));
        let in_time = self.inner.shared.clock.now() < self.job.wait_until();
        !shared && in_time
    }

    async fn lease(&mut self, route: &'a Route) -> Result<(), Denied> {
        self.release();
        let Some((leases, ttl)) = &route.leases else { return Ok(()) };
        // A lease may be taken although its future is dropped.
        self.leased = Some(route);
        leases.take(self.job.key.as_str(), self.job.wait_until(), *ttl).await
    }

    fn release(&mut self) {
        #[cfg(trunkline_mutation)]
        if trunkline_core_types::Mutation::LeaseKept.is_on() {
            return;
        }
        if let Some((leases, _)) = self.leased.take().and_then(|route| route.leases.as_ref()) {
            leases.release(self.job.key.as_str());
        }
    }

    /// Ends the claim; `record` is what the key is to answer, asked for where the journal has no answer yet.
    pub(crate) fn settle(&mut self, class: Class, record: impl FnOnce() -> Option<Bytes>) {
        self.settled = true;
        if class == Class::Accepted && self.job.evidence.is_answered() {
            return;
        }
        if !class.may_have_acted() {
            self.release();
        }
        if let Err(error) = self.inner.shared.journal.settle(&self.job.key, class, record()) {
            // A callback's proof may have come first: then there is nothing left to note.
            let proven = class == Class::Ambiguous && error.kind() == JournalErrorKind::State;
            if !proven {
                tracing::warn!(%error, "a call's end could not be noted; it stays open in the journal");
            }
        }
    }
}

fn through(route: &Route, intent: &Arc<Intent>) -> Arc<Intent> {
    match intent.account == route.account {
        true => intent.clone(),
        false => Arc::new(Intent { account: route.account.clone(), ..Intent::clone(intent) }),
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(self.job.evidence.folded(), || None);
        }
    }
}

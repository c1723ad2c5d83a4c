//! From account to account, as long as nobody can have been rung.

use std::sync::Arc;
use std::vec;

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

/// The first way of a call, and the other accounts in the order of preference. Those whose provider cannot say the call are left out, and
/// those that are cut off for now come last.
pub(crate) fn ways<'a>(routes: &'a [Route], job: &Job) -> Result<(Way<'a>, vec::IntoIter<&'a Route>), Error> {
    let way = |route: &'a Route| Ok(Way { route, request: route.request(&job.call, &job.key)? });
    if let [only] = routes {
        return way(only).map(|way| (way, Vec::new().into_iter())).map_err(Error::provider);
    }
    let (mut others, mut problem) = (preferred(routes, Route::is_cut_off).into_iter(), None);
    while let Some(route) = others.next() {
        match way(route) {
            Ok(way) => return Ok((way, others)),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    Err(problem.map_or_else(|| unreachable!("a client has an account"), Error::provider))
}

/// In the order of preference, those that are cut off last.
fn preferred<T>(routes: &[T], is_cut_off: impl Fn(&T) -> bool) -> Vec<&T> {
    let mut order: Vec<_> = routes.iter().collect();
    // Each is looked at once: one that changes meanwhile has no place that holds, and a sort may panic at that.
    order.sort_by_cached_key(|route| is_cut_off(route));
    order
}

/// A key that is ours until it is settled, and the live-call lease under it. Dropped with the future it settles with what is known.
pub(crate) struct Claimed<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) job: &'a Job,
    /// The number that the journal gave: the first attempt's.
    pub(crate) number: u32,
    pub(crate) leased: Option<&'a Route>,
    pub(crate) settled: bool,
}

impl<'a> Claimed<'a> {
    /// The first attempt.
    pub(crate) fn first(&self, way: Way<'a>, intent: Arc<Intent>) -> (&'a Route, Attempt) {
        let idempotency = way.route.provider.profile().idempotency;
        let (evidence, deadline) = (self.job.evidence.clone(), self.job.deadline);
        let attempt = Attempt::create_reporting_to(evidence, way.request, intent, idempotency, deadline);
        (way.route, self.fitted(attempt.numbered(self.number)))
    }

    /// The next account's attempt, as long as nobody can have been rung.
    fn next(
        &self,
        others: &mut vec::IntoIter<&'a Route>,
        intent: &Arc<Intent>,
    ) -> Option<(&'a Route, Attempt)> {
        let (route, request) =
            others.find_map(|route| Some((route, route.request(&self.job.call, &self.job.key).ok()?)))?;
        let idempotency = route.provider.profile().idempotency;
        let intent = through(route, intent);
        let (deadline, before) = (self.job.deadline, &self.job.evidence);
        let attempt = Attempt::elsewhere(request, intent, idempotency, deadline, before)?;
        Some((route, self.fitted(attempt)))
    }

    fn fitted(&self, mut attempt: Attempt) -> Attempt {
        if let Some(retry) = &self.job.retry {
            retry.clone().attach(&mut attempt);
        }
        attempt.in_lane(self.job.lane)
    }

    /// From the first attempt to the last account's; gives that account and the outcome of all.
    pub(crate) async fn go(
        &mut self,
        (mut route, mut attempt): (&'a Route, Attempt),
        mut others: vec::IntoIter<&'a Route>,
        intent: &Arc<Intent>,
    ) -> (&'a Route, Outcome) {
        let mut tries = 0;
        loop {
            let mut outcome = self.send(route, attempt).await;
            tries += outcome.tries;
            let next = if self.goes_on(&outcome) { self.next(&mut others, intent) } else { None };
            let Some(next) = next else {
                outcome.tries = tries;
                return (route, outcome);
            };
            (route, attempt) = next;
        }
    }

    async fn send(&mut self, route: &'a Route, attempt: Attempt) -> Outcome {
        match self.lease(route).await {
            Ok(()) => route.stack.send(attempt).await,
            Err(denied) => {
                let message = match denied.kind {
                    DeniedKind::Closed => "the client is shut down; nothing was sent",
                    _ => "no live call of the account may be added before the deadline; nothing was sent",
                };
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
        let taken = leases.take(self.job.key.as_str(), self.job.wait_until(), *ttl);
        let closed = Denied { kind: DeniedKind::Closed, wait: None };
        self.inner.drain.while_open(taken).await.unwrap_or(Err(closed))
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
        let journal = &self.inner.shared.journal;
        if let Err(error) = journal.settle_claim(&self.job.key, self.number, class, record()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn accounts_that_come_back_while_they_are_put_in_order_lose_none() {
        let accounts: Vec<usize> = (0..40).collect();
        for back in 0..200 {
            let looks = Cell::new(0);
            let is_cut_off = |account: &usize| {
                looks.set(looks.get() + 1);
                !account.is_multiple_of(3) && looks.get() <= back + account % 7 * 3
            };
            let mut order = preferred(&accounts, is_cut_off);
            order.sort();
            assert!(order.into_iter().eq(&accounts), "{back}");
        }
        assert_eq!(preferred(&[1, 2, 3, 4], |account| account % 2 == 1), [&2, &4, &1, &3]);
    }
}

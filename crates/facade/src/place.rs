//! The life of one call: check, claim, lease, stack, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use trunkline_core_types::{
    AccountId, CallRef, Claim, Class, ClockExt, IdempotencyKey, Intent, Outcome, Reply, Scope,
};

use crate::detail::detail;
use crate::failover::{Claimed, ways};
use crate::flights::mismatch;
use crate::inner::{Inner, Route, closed, refusal};
use crate::job::Job;
use crate::{Error, Placed};

/// How long the journal may take to say what became of a call whose reply was lost.
const LOOK: Duration = Duration::from_secs(1);

/// Places a call at `now`, just read. Two callers of one key share one flight.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn's future holds each argument twice, and a job is large"
)]
pub(crate) fn place(
    inner: &Arc<Inner>,
    job: Job,
    now: Instant,
) -> impl Future<Output = Result<Placed, Error>> + Send {
    async move {
        let detail = detail(&job.call);
        if !job.shared {
            return fly(inner, &job, detail, now).await.map_err(|error| error.with_key(&job.key));
        }
        let (key, known, owned) = (job.key.clone(), detail.clone(), inner.clone());
        let flight = Box::pin(async move { fly(&owned, &job, detail, now).await });
        inner.flights.join(&key, &known, flight).await.map_err(|error| error.with_key(&key))
    }
}

async fn fly(inner: &Inner, job: &Job, detail: Bytes, now: Instant) -> Result<Placed, Error> {
    let _pass = inner.drain.enter().ok_or_else(closed)?;
    let (first, others) = ways(&inner.routes, job)?;
    let now = inner.ask(job, now).await?;
    let intent = inner.intent(first.route, job, detail, now);
    let number = match inner.claim(&intent, now, job.wait_until()).await? {
        Claim::Go { number } => number,
        Claim::Open => return Err(open()),
        Claim::Mismatch => return Err(mismatch()),
        Claim::Settled(class, record) => return inner.replay(&job.key, class, record),
    };
    // A reconcile may be asking about the claim before.
    if number > 1 {
        inner.reclaimed.note(&job.key);
    }
    let mut claimed = Claimed { inner, job, number, leased: None, settled: false };
    let first = claimed.first(first, intent.clone());
    let (route, outcome) = claimed.go(first, others, &intent).await;
    claimed.settle(outcome.class, || record(&outcome, &route.account));
    drop(claimed);
    if outcome.class == Class::Ambiguous
        && let Some((class, record)) = inner.proof(&intent, job).await
    {
        let placed = inner.replay(&job.key, class, record)?;
        return Ok(Placed { replayed: false, tries: outcome.tries, ..placed });
    }
    let placed = conclude(route, &job.key, &outcome, false);
    if let Ok(Placed { call: Some(call), .. }) = &placed {
        inner.calls().placed(&job.key, &route.account, call);
    }
    placed
}

impl Inner {
    /// The caller's own check; gives the time after it.
    async fn ask(&self, job: &Job, now: Instant) -> Result<Instant, Error> {
        let Some(check) = &self.check else { return Ok(now) };
        let clock = &self.shared.clock;
        match clock.bounded_at(now, job.wait_until(), check.allow(&job.call)).await {
            Some(Ok(())) => Ok(clock.now()),
            Some(Err(reason)) => Err(Error::not_allowed(&reason)),
            None => Err(Error::unsent("the on_dial check did not answer in time; nothing was sent")),
        }
    }

    fn intent(&self, route: &Route, job: &Job, detail: Bytes, now: Instant) -> Arc<Intent> {
        let left = job.deadline.ends_by().saturating_duration_since(now);
        let fence = self.steady.wall_at(now) + left;
        Arc::new(Intent { key: job.key.clone(), account: route.account.clone(), detail, fence })
    }

    async fn claim(&self, intent: &Arc<Intent>, now: Instant, until: Instant) -> Result<Claim, Error> {
        let (clock, journal) = (&self.shared.clock, &self.shared.journal);
        let at_once = (now < until).then(|| journal.claim_at_once(intent)).flatten();
        let claimed = match at_once {
            Some(claimed) => Some(claimed),
            None => clock.bounded_at(now, until, journal.claim(intent)).await,
        };
        match claimed {
            Some(Ok(claim)) => Ok(claim),
            Some(Err(error)) => {
                Err(Error::unsent("the journal could not note the call, so it was not sent").caused_by(error))
            }
            None => Err(Error::unsent("the journal did not answer in time, so nothing was sent")),
        }
    }

    /// What a callback proved of a call meanwhile, whose reply was lost. Nothing is waited for past the call's own time.
    async fn proof(&self, intent: &Arc<Intent>, job: &Job) -> Option<(Class, Option<Bytes>)> {
        let (clock, journal) = (&self.shared.clock, &self.shared.journal);
        let (now, ends_by) = (clock.now(), job.ends_by());
        // A journal that knows at once is heard at the deadline too.
        let claim = match ends_by > now {
            true => clock.bounded(ends_by.min(now + LOOK), journal.claim(intent)).await,
            false => journal.claim(intent).now_or_never(),
        };
        match claim? {
            Ok(Claim::Settled(class, record)) => Some((class, record)),
            Ok(Claim::Go { number }) => {
                // Freed by somebody's proof: it is the next caller's to dial.
                let _ = journal.settle_claim(&intent.key, number, Class::Unsent, None);
                None
            }
            _ => None,
        }
    }

    /// The answer that a settled key keeps, through the account that gave it.
    fn replay(&self, key: &IdempotencyKey, class: Class, record: Option<Bytes>) -> Result<Placed, Error> {
        let known = record.as_ref().and_then(Reply::from_record);
        let through = |account: &AccountId| self.routes.iter().find(|route| route.account == *account);
        if let Some((account, reply)) = known
            && let Some(route) = through(&account)
        {
            let mut outcome = Outcome::new(class, Ok(reply));
            // An old answer is no try of this call.
            outcome.tries = 0;
            return conclude(route, key, &outcome, true);
        }
        match class {
            Class::Accepted => {
                Ok(Placed { key: key.clone(), reference: None, call: None, replayed: true, tries: 0 })
            }
            _ => Err(Error::ambiguous("the key was settled by an account that this client does not have")),
        }
    }
}

fn conclude(route: &Route, key: &IdempotencyKey, outcome: &Outcome, replayed: bool) -> Result<Placed, Error> {
    if outcome.class != Class::Accepted {
        return Err(Error::outcome(outcome, refusal(&*route.provider, outcome)));
    }
    let call = outcome.result.as_ref().ok().and_then(|reply| route.provider.read_call(reply).ok());
    let reference = call.as_ref().map(|call| CallRef { account: route.account.clone(), id: call.id.clone() });
    let tries = if replayed { 0 } else { outcome.tries };
    Ok(Placed { key: key.clone(), reference, call, replayed, tries })
}

fn open() -> Error {
    Error::ambiguous(
        "an earlier attempt under this key is under way or its outcome is unknown; nobody was rung this time, look the call up",
    )
}

/// What `place` under the same key gives again.
fn record(outcome: &Outcome, account: &AccountId) -> Option<Bytes> {
    match (outcome.class, &outcome.result) {
        (Class::Accepted | Class::Rejected(Scope::Call), Ok(reply)) => Some(reply.to_record(account)),
        _ => None,
    }
}

//! The limiter layer: a create starts only with a permit, and a throttle pauses the account.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
#[cfg(trunkline_mutation)]
use trunkline_core_types::Mutation;
use trunkline_core_types::{
    Ask, Attempt, AttemptError, BoxFuture, Class, Clock, ClockExt, Denied, DeniedKind, Evidence, Fact,
    FailureKind, HttpService, Observer, Operation, Outcome, Pacer, Permit, Signal,
};

/// The pause after a throttle that names none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a throttle is believed to ask for.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// Asks the pacer before every create; reads and changes pass. What lies below is warmed first, so that a permit does not age.
#[derive(Debug)]
pub struct Limiter {
    inner: Arc<dyn HttpService>,
    pacer: Arc<dyn Pacer>,
    max_pause: Duration,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl Limiter {
    /// A limiter layer around `inner`.
    pub fn new(
        inner: Arc<dyn HttpService>,
        pacer: Arc<dyn Pacer>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { inner, pacer, max_pause: MAX_PAUSE, clock, observer }
    }

    /// Pauses the account for no longer than this, whatever a throttle asks for. Default 5 min.
    #[must_use]
    pub fn with_max_pause(mut self, max_pause: Duration) -> Self {
        self.max_pause = max_pause;
        self
    }

    async fn paced(&self, mut attempt: Attempt) -> Outcome {
        let wait_until = attempt.wait_until();
        #[cfg(trunkline_mutation)]
        let wait_until =
            wait_until + Duration::from_secs(3600 * u64::from(Mutation::LineIgnoresDeadline.is_on()));
        let now = attempt.at(&*self.clock);
        self.clock.bounded_at(now, wait_until, self.inner.warm(&attempt)).await;
        let ask = Ask { lane: attempt.lane(), ..Ask::one(wait_until) };
        let answer = match self.pacer.acquire_at_once(ask) {
            Some(answer) => answer,
            None => self.pacer.acquire(ask).await,
        };
        let permit = match answer {
            Ok(permit) => permit,
            Err(denied) => return refused(denied),
        };
        let granted = permit.granted().unwrap_or_else(|| self.clock.now());
        attempt.permit(granted, permit.start_by());
        let started = permit.start_by();
        // Dropped after the inner future, so that its evidence is final.
        let held = Held { permit: Some(permit), evidence: attempt.evidence().clone() };
        let outcome = self.inner.send(attempt).await;
        // Before the permit ends: whoever is let go by that, on another thread at once, must find the pause.
        self.feed_back(&outcome, started);
        held.end(outcome.class);
        outcome
    }

    fn feed_back(&self, outcome: &Outcome, start_by: std::time::Instant) {
        #[cfg(trunkline_mutation)]
        if Mutation::PauseIgnored.is_on() {
            return;
        }
        if outcome.class == Class::Deferred && outcome.status() == Some(StatusCode::TOO_MANY_REQUESTS) {
            let pause = outcome.wait.unwrap_or(DEFAULT_PAUSE).min(self.max_pause);
            self.pacer.feedback(Signal::Throttled { pause });
        }
        if outcome.result.as_ref().is_err_and(|error| error.kind() == FailureKind::LatePermit) {
            let by = self.clock.now().saturating_duration_since(start_by);
            self.observer.saw(Fact::LatePermit { by });
        }
    }
}

fn refused(denied: Denied) -> Outcome {
    let message = match denied.kind {
        DeniedKind::Deadline => {
            "the turn would come after the deadline; allow more time or ask for a higher rate"
        }
        DeniedKind::Full => "the line is full; place fewer calls at once",
        DeniedKind::Never => "the cost is above the burst; no waiting helps",
        _ => "the limiter is closed",
    };
    Outcome::unsent(AttemptError::new(FailureKind::Denied(denied.kind), message)).after(denied.wait)
}

/// A permit under way: given back if the attempt ends, or is dropped, with nothing sent.
struct Held {
    permit: Option<Permit>,
    evidence: Evidence,
}

impl Held {
    fn end(mut self, class: Class) {
        self.finish(class);
    }

    fn finish(&mut self, class: Class) {
        #[cfg(trunkline_mutation)]
        if Mutation::PermitLeaked.is_on() {
            return std::mem::forget(self.permit.take());
        }
        #[cfg(trunkline_mutation)]
        let class = if Mutation::SlotBackAfterUse.is_on() { Class::Unsent } else { class };
        match self.permit.take() {
            Some(permit) if class == Class::Unsent => permit.give_back(),
            Some(permit) => permit.spend(),
            None => {}
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.finish(self.evidence.class());
    }
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for Limiter {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        #[cfg(trunkline_mutation)]
        if Mutation::RepeatUnpaced.is_on() && attempt.evidence().permitted().is_some() {
            return self.inner.send(attempt);
        }
        match attempt.operation() {
            Operation::Create => Box::pin(self.paced(attempt)),
            Operation::Change | Operation::Read => self.inner.send(attempt),
        }
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.inner.warm(attempt)
    }
}

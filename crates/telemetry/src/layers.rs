//! The decorators that measure: one around a whole operation, one around each attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, Evidence, Fact, HttpService, Observer, Operation, Outcome,
};

/// Outermost layer of a stack: reports [`Fact::Call`] once per operation that was started, with all its waits and attempts.
///
/// An operation whose future is dropped is reported too, with the class that its evidence gives after everything below is gone. Its
/// `tries` is then the least it took: 0 if it ends as `Unsent`, else 1.
#[derive(Debug)]
pub struct CallMetrics {
    inner: Arc<dyn HttpService>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl CallMetrics {
    /// Measures `inner` by `clock` and reports to `observer`.
    pub fn new(inner: Arc<dyn HttpService>, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        Self { inner, clock, observer }
    }
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for CallMetrics {
    fn send(&self, mut attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            // Declared before the inner future, so dropped after it: only then the evidence is final.
            let mut guard = Guard::new(&self.clock, &self.observer, &mut attempt, |evidence, end| {
                let (class, tries) = match end.ended {
                    Some((class, tries)) => (class, tries),
                    None => {
                        let class = evidence.folded();
                        (class, u32::from(class != Class::Unsent))
                    }
                };
                Fact::Call { operation: end.operation, class, tries, took: end.took }
            });
            let outcome = self.inner.send(attempt).await;
            guard.ended = Some((outcome.class, outcome.tries));
            outcome
        })
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.inner.warm(attempt)
    }
}

/// Innermost layer above timeout and HTTP: reports [`Fact::Attempt`] once per attempt that was started.
///
/// An attempt whose future is dropped is reported too, without a status and with the class of its evidence: `Unsent` if no byte left,
/// `Ambiguous` otherwise.
#[derive(Debug)]
pub struct AttemptMetrics {
    inner: Arc<dyn HttpService>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl AttemptMetrics {
    /// Measures `inner` by `clock` and reports to `observer`.
    pub fn new(inner: Arc<dyn HttpService>, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        Self { inner, clock, observer }
    }
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for AttemptMetrics {
    fn send(&self, mut attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let mut guard = Guard::new(&self.clock, &self.observer, &mut attempt, |evidence, end| {
                let (class, status) = end.ended.unwrap_or_else(|| (evidence.class(), None));
                Fact::Attempt { operation: end.operation, class, status, took: end.took }
            });
            let outcome = self.inner.send(attempt).await;
            guard.ended = Some((outcome.class, outcome.status().map(|status| status.as_u16())));
            outcome
        })
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.inner.warm(attempt)
    }
}

/// Reports when it is dropped, ended or not.
struct Guard<'a, T> {
    clock: &'a Arc<dyn Clock>,
    observer: &'a Arc<dyn Observer>,
    evidence: Evidence,
    operation: Operation,
    started: Instant,
    ended: Option<T>,
    fact: fn(&Evidence, End<T>) -> Fact,
}

/// What a guard knows when it is dropped.
struct End<T> {
    operation: Operation,
    took: Duration,
    ended: Option<T>,
}

impl<'a, T> Guard<'a, T> {
    fn new(
        clock: &'a Arc<dyn Clock>,
        observer: &'a Arc<dyn Observer>,
        attempt: &mut Attempt,
        fact: fn(&Evidence, End<T>) -> Fact,
    ) -> Self {
        let (evidence, operation, started) =
            (attempt.evidence().clone(), attempt.operation(), attempt.at(&**clock));
        Self { clock, observer, evidence, operation, started, ended: None, fact }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let took = self.clock.now().saturating_duration_since(self.started);
        let end = End { operation: self.operation, took, ended: self.ended.take() };
        self.observer.saw((self.fact)(&self.evidence, end));
    }
}

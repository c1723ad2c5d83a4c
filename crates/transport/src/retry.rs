//! The one retry layer: tries again where the gate allows it and the budget pays, and reports the fold.

mod budget;
mod cause;
mod settings;
#[cfg(test)]
mod vectors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, Decision, DeniedKind, Entropy, EntropyExt, Fact, FailureKind,
    HttpService, Lane, Observer, Outcome, Question, RepeatToken, Spare, gate,
};

pub use budget::{BudgetSettings, RetryBudget};
pub use settings::RetrySettings;

use budget::Payment;
use cause::{Cause, asked};

/// A connection that was dead, or a permit that was too old, costs no try, but only so often in a row.
const FREE_IN_A_ROW: u32 = 2;

/// Repeats what the gate allows and the budget pays for. Below it every repeat takes a new permit and a fresh signature.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn HttpService>,
    settings: RetrySettings,
    budget: RetryBudget,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
}

impl Retry {
    /// A retry layer around `inner`, with a full budget of its own.
    pub fn new(
        inner: Arc<dyn HttpService>,
        settings: RetrySettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { inner, settings, budget: RetryBudget::default(), clock, entropy, observer }
    }

    /// Pays from this budget, which the caller keeps a handle of. One per account.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    async fn run(&self, mut attempt: Attempt) -> Outcome {
        let mut spare = attempt.spare();
        let mut progress = Progress::new(attempt.at(&*self.clock), attempt.lane());
        loop {
            let mut outcome = self.inner.send(attempt).await;
            progress.note(&outcome);
            if kind(&outcome) == Some(FailureKind::StaleConnection) {
                self.observer.saw(Fact::StaleConnection);
            }
            let Some(next) = self.decide(&progress, &spare, &outcome) else {
                self.reward(&progress, &outcome);
                (outcome.class, outcome.tries) = (progress.class(&outcome), progress.tries);
                return outcome;
            };
            if !next.after.is_zero() {
                self.clock.sleep_until(self.clock.now() + next.after).await;
            }
            progress.paid(next.payment.spend());
            attempt = spare.repeat(next.token);
        }
    }

    /// What the gate says; of a repeat that only the budget stands against, a fact.
    fn decide(&self, progress: &Progress, spare: &Spare, outcome: &Outcome) -> Option<Repeat> {
        // Whatever came before it: a call is placed, and nothing is asked.
        if outcome.class == Class::Accepted {
            return None;
        }
        let settings = spare.extensions().get().unwrap_or(&self.settings);
        let cause = Cause::of(outcome);
        let tries_left = progress.tries < settings.max_tries && progress.may_help(outcome);
        // Taken before the question, so that two callers are not both told of the last tokens; paid back unless it is spent.
        let payment = tries_left.then(|| self.budget.pay(cause)).flatten();
        let question = Question {
            folded: progress.class(outcome),
            last: outcome.class,
            operation: spare.operation(),
            idempotency: spare.idempotency(),
            tries_left,
            budget_left: payment.is_some(),
            after: if tries_left { self.pause(settings, progress, cause, outcome) } else { Duration::ZERO },
            now: self.clock.now(),
            first: progress.first,
            deadline: spare.deadline().ends_by(),
        };
        let (operation, class) = (question.operation, question.last);
        let Some((token, after)) = repeat(gate(&question)) else {
            if repeat(gate(&Question { budget_left: true, ..question })).is_some() {
                self.observer.saw(Fact::RetryRefused { operation, class });
            }
            return None;
        };
        let payment = payment?;
        if cause != Cause::Local {
            self.observer.saw(Fact::RetryBudget { tokens: self.budget.left() });
        }
        self.observer.saw(Fact::Retried { operation, class, after });
        Some(Repeat { token, after, payment })
    }

    fn pause(
        &self,
        settings: &RetrySettings,
        progress: &Progress,
        cause: Cause,
        outcome: &Outcome,
    ) -> Duration {
        match progress.free {
            0 => settings.pause(cause, progress.tries.max(1), asked(outcome), self.entropy.fraction()),
            _ => Duration::ZERO,
        }
    }

    fn reward(&self, progress: &Progress, outcome: &Outcome) {
        if outcome.class == Class::Accepted && self.budget.reward(progress.paid) {
            self.observer.saw(Fact::RetryBudget { tokens: self.budget.left() });
        }
    }
}

struct Repeat {
    token: RepeatToken,
    after: Duration,
    payment: Payment,
}

fn repeat(decision: Decision) -> Option<(RepeatToken, Duration)> {
    match decision {
        Decision::Now { token } => Some((token, Duration::ZERO)),
        Decision::After { token, pause } => Some((token, pause)),
        Decision::Reconcile | Decision::GiveUp => None,
    }
}

struct Progress {
    first: Instant,
    lane: Lane,
    folded: Option<Class>,
    tries: u32,
    /// Uncounted attempts in a row, the last one included.
    free: u32,
    /// What the last repeat that cost something cost.
    paid: Option<u32>,
}

impl Progress {
    fn new(first: Instant, lane: Lane) -> Self {
        Self { first, lane, folded: None, tries: 0, free: 0, paid: None }
    }

    fn note(&mut self, outcome: &Outcome) {
        self.folded = Some(self.class(outcome));
        if is_free(outcome) && self.free < FREE_IN_A_ROW {
            self.free += 1;
            return;
        }
        self.free = 0;
        // In bulk an open breaker is waited for; only the deadline ends that.
        if !(self.lane == Lane::Bulk && kind(outcome) == Some(FailureKind::BreakerOpen)) {
            self.tries += 1;
        }
    }

    /// The fold so far.
    fn class(&self, outcome: &Outcome) -> Class {
        self.folded.map_or(outcome.class, |before| before.fold(outcome.class))
    }

    fn paid(&mut self, cost: u32) {
        if cost > 0 {
            self.paid = Some(cost);
        }
    }

    /// Whether the same attempt could end otherwise: not where our own side refused it for good, nor where a caller who waits is better
    /// told at once.
    fn may_help(&self, outcome: &Outcome) -> bool {
        match kind(outcome) {
            Some(FailureKind::Request | FailureKind::Journal | FailureKind::Dropped) => false,
            Some(FailureKind::Denied(kind)) => kind == DeniedKind::Full && outcome.wait.is_some(),
            Some(FailureKind::Key(kind)) => kind.is_outage(),
            Some(FailureKind::BreakerOpen) => self.lane == Lane::Bulk,
            _ => outcome.class != Class::Accepted,
        }
    }
}

fn kind(outcome: &Outcome) -> Option<FailureKind> {
    outcome.result.as_ref().err().map(|error| error.kind())
}

fn is_free(outcome: &Outcome) -> bool {
    outcome.class == Class::Unsent
        && matches!(kind(outcome), Some(FailureKind::StaleConnection | FailureKind::LatePermit))
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for Retry {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.run(attempt))
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.inner.warm(attempt)
    }
}

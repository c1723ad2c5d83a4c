//! The one retry layer: tries again where the gate allows it, and reports the fold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, Decision, DeniedKind, Entropy, EntropyExt, Fact, FailureKind,
    HttpService, InputError, KeyErrorKind, Observer, Outcome, Question, Spare, gate,
};

/// How often and after what pauses an operation is tried again, where that cannot ring twice. Plain data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Tries in all, the first included. Default 3.
    pub max_tries: u32,
    /// The pause before the first repeat is drawn from zero to this ("full jitter"), before the second from zero to twice this, and so
    /// on. Default 2 s.
    pub base: Duration,
    /// The longest pause drawn. Default 10 s. A wait that the provider asks for is kept even if it is longer.
    pub cap: Duration,
}

impl Default for RetrySettings {
    /// Exponential back-off with 3 tries, 2 s to 10 s, full jitter.
    fn default() -> Self {
        Self { max_tries: 3, base: Duration::from_secs(2), cap: Duration::from_secs(10) }
    }
}

impl RetrySettings {
    /// One try, no repeat that counts. A dead pooled connection is still replaced.
    pub fn never() -> Self {
        Self { max_tries: 1, ..Self::default() }
    }

    /// Checks that every value can work.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn check(&self) -> Result<(), InputError> {
        match self.max_tries {
            1..=100 => Ok(()),
            other => Err(InputError::new("max_tries", format!("must be 1 to 100; got {other}"))),
        }
    }

    /// The longest pause before repeat number `repeat` (from 1).
    fn ceiling(&self, repeat: u32) -> Duration {
        let factor = 1u32.checked_shl(repeat.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.checked_mul(factor).unwrap_or(self.cap).min(self.cap)
    }
}

/// A connection that was dead, or a permit that was too old, costs no try, but only so often in a row.
const FREE_IN_A_ROW: u32 = 2;

/// Repeats what the gate allows. Below it every repeat takes a new permit and a fresh signature.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn HttpService>,
    settings: RetrySettings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
}

impl Retry {
    /// A retry layer around `inner`.
    pub fn new(
        inner: Arc<dyn HttpService>,
        settings: RetrySettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { inner, settings, clock, entropy, observer }
    }

    async fn run(&self, mut attempt: Attempt) -> Outcome {
        let mut spare = attempt.spare();
        let mut progress = Progress { first: self.clock.now(), folded: None, tries: 0, free: 0 };
        loop {
            let mut outcome = self.inner.send(attempt).await;
            progress.note(&outcome);
            let question = self.question(&progress, &spare, &outcome);
            let Decision::Repeat { token, after } = gate(&question) else {
                (outcome.class, outcome.tries) = (question.folded, progress.tries);
                return outcome;
            };
            self.observer.saw(Fact::Retried { operation: question.operation, class: question.last, after });
            if !after.is_zero() {
                self.clock.sleep_until(self.clock.now() + after).await;
            }
            attempt = spare.repeat(token);
        }
    }

    fn question(&self, progress: &Progress, spare: &Spare, outcome: &Outcome) -> Question {
        Question {
            folded: progress.folded.unwrap_or(outcome.class),
            last: outcome.class,
            operation: spare.operation(),
            idempotency: spare.idempotency(),
            tries_left: progress.tries < self.settings.max_tries && may_help(outcome),
            after: self.pause(progress, outcome),
            now: self.clock.now(),
            first: progress.first,
            deadline: spare.deadline().ends_by(),
        }
    }

    fn pause(&self, progress: &Progress, outcome: &Outcome) -> Duration {
        if progress.free > 0 {
            return Duration::ZERO;
        }
        let drawn = || self.settings.ceiling(progress.tries).mul_f64(self.entropy.fraction());
        outcome.wait.unwrap_or_else(drawn)
    }
}

struct Progress {
    first: Instant,
    folded: Option<Class>,
    tries: u32,
    /// Uncounted attempts in a row, the last one included.
    free: u32,
}

impl Progress {
    fn note(&mut self, outcome: &Outcome) {
        self.folded = Some(self.folded.map_or(outcome.class, |before| before.fold(outcome.class)));
        if is_free(outcome) && self.free < FREE_IN_A_ROW {
            self.free += 1;
        } else {
            self.free = 0;
            self.tries += 1;
        }
    }
}

fn is_free(outcome: &Outcome) -> bool {
    let kind = outcome.result.as_ref().err().map(|error| error.kind());
    outcome.class == Class::Unsent
        && matches!(kind, Some(FailureKind::StaleConnection | FailureKind::LatePermit))
}

/// Whether the same attempt could end otherwise: not where our own side refused it for good.
fn may_help(outcome: &Outcome) -> bool {
    match outcome.result.as_ref().err().map(|error| error.kind()) {
        Some(FailureKind::Request | FailureKind::Journal | FailureKind::Dropped) => false,
        Some(FailureKind::Denied(kind)) => kind == DeniedKind::Full && outcome.wait.is_some(),
        Some(FailureKind::Key(kind)) => matches!(kind, KeyErrorKind::Unavailable | KeyErrorKind::Timeout),
        _ => true,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let settings = RetrySettings::default();
        let ceilings = [1, 2, 3, 4, 40].map(|repeat| settings.ceiling(repeat).as_secs());
        assert_eq!(ceilings, [2, 4, 8, 10, 10]);
    }
}

//! The breaker layer: when a provider fails too often, the account's attempts end at once instead of adding to it.

mod circuit;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod settings;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, BreakerState, Clock, Entropy, EntropyExt, Fact, FailureKind,
    HttpService, InputError, Lane, Observer, Outcome,
};

pub use settings::BreakerSettings;

use circuit::{Circuit, Evidence, Ticket};

use crate::sync::{Mutex, MutexGuard};

/// Lets attempts pass while their provider answers, and refuses them for a while once it failed too often.
///
/// Only evidence about the provider counts: no connection, no TLS, a name that does not resolve, a connection that broke after the
/// request, a timeout, a 5xx. A 4xx shows that it answers. Throttles, late permits, refusals of our own side, missing keys, the journal's
/// errors and dropped futures show nothing. A refused attempt is `Unsent` with the wait until the next probe; neither signer nor journal hear of
/// it. After the open time a few attempts probe; the place of one that is dropped, or shows nothing, is free again. Probes that are held without
/// being polled block it until a second after their deadlines; others probe then.
#[derive(Debug)]
pub struct Breaker {
    inner: Arc<dyn HttpService>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    circuit: Mutex<Circuit>,
    patience: Duration,
    /// The state that the observer knows of. Held while it is told, so that the last thing it hears is the present state.
    told: Mutex<Option<BreakerState>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
}

impl Breaker {
    /// A closed breaker around `inner`.
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn new(
        inner: Arc<dyn HttpService>,
        settings: BreakerSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, InputError> {
        settings.check()?;
        let patience = settings.patience;
        let (circuit, told) = (Mutex::new(Circuit::new(settings)), Mutex::new(None));
        let shared = Shared { circuit, patience, told, clock, entropy, observer };
        shared.tell();
        Ok(Self { inner, shared: Arc::new(shared) })
    }

    /// A handle that tells its state.
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle(self.shared.clone())
    }

    async fn guarded(&self, mut attempt: Attempt) -> Outcome {
        let now = attempt.at(&*self.shared.clock);
        let mut pass = match self.shared.admit(now, || attempt.deadline().ends_by()) {
            Ok(pass) => pass,
            Err(wait) => return refused(wait),
        };
        let outcome = self.inner.send(attempt).await;
        pass.show(&outcome);
        outcome
    }

    /// While it is not closed.
    async fn warmed(&self, attempt: &Attempt) {
        let wait = self.shared.wait();
        if let (Some(wait), Lane::Bulk) = (wait, attempt.lane()) {
            let clock = &self.shared.clock;
            clock.sleep_until(attempt.wait_until().min(clock.now() + wait)).await;
        }
        if self.shared.is_closed() {
            self.inner.warm(attempt).await;
        }
    }
}

fn refused(wait: Duration) -> Outcome {
    let message = "the provider failed too often just now; nothing was sent, ask again after the wait";
    Outcome::unsent(AttemptError::new(FailureKind::BreakerOpen, message)).after(Some(wait))
}

impl Shared {
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> BreakerState {
        let now = self.clock.now();
        self.circuit().state(now)
    }

    fn is_closed(&self) -> bool {
        self.circuit().is_closed()
    }

    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.circuit().wait(now)
    }

    fn admit(&self, now: Instant, ends_by: impl FnOnce() -> Instant) -> Result<Pass<'_>, Duration> {
        // A pass before the observer is told: one that panics costs no probe.
        self.changing(|circuit| {
            let ticket = circuit.admit(now, ends_by)?;
            Ok(Pass { shared: self, ticket: Some(ticket), evidence: Evidence::None })
        })
    }

    fn conclude(&self, ticket: Ticket, evidence: Evidence) {
        self.changing(|circuit| {
            circuit.conclude(ticket, evidence, || self.clock.now(), || self.entropy.fraction());
        });
    }

    /// Tells the observer after a step that changed the phase.
    fn changing<T>(&self, step: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit();
        let before = circuit.epoch();
        let done = step(&mut circuit);
        let changed = circuit.epoch() != before;
        drop(circuit);
        if changed {
            self.tell();
        }
        done
    }

    /// A change goes to the observer once. Not under the circuit's lock: the observer may ask for the state.
    fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if told.replace(state) != Some(state) {
            self.observer.saw(Fact::Breaker { state });
        }
    }
}

/// An attempt under way. Dropped, it gives its ticket back with what it showed, which is nothing if it did not end.
struct Pass<'a> {
    shared: &'a Shared,
    ticket: Option<Ticket>,
    evidence: Evidence,
}

impl Pass<'_> {
    fn show(&mut self, outcome: &Outcome) {
        self.evidence = match (outcome.status(), &outcome.result) {
            (Some(status), _) if status.is_server_error() => Evidence::Ill,
            // A throttle says nothing of health; 408 is how a server closes an idle connection.
            (Some(status), _) if matches!(status.as_u16(), 408 | 429) => Evidence::None,
            (Some(_), _) => Evidence::Well,
            (None, Err(error)) => self.without_reply(error.kind()),
            (None, Ok(_)) => Evidence::None,
        };
    }

    fn without_reply(&self, kind: FailureKind) -> Evidence {
        use FailureKind as Kind;
        match kind {
            Kind::Resolve | Kind::Connect | Kind::Tls | Kind::Connection | Kind::Protocol => Evidence::Ill,
            Kind::Timeout => {
                let now = self.shared.clock.now();
                let began = self.ticket.as_ref().map_or(now, |ticket| ticket.since);
                let took = now.saturating_duration_since(began);
                if took >= self.shared.patience { Evidence::Ill } else { Evidence::None }
            }
            _ => Evidence::None,
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.conclude(ticket, self.evidence);
        }
    }
}

/// Tells the state of an account's breaker, for whoever chooses between accounts. Cheap to clone; changes nothing.
#[derive(Debug, Clone)]
pub struct BreakerHandle(Arc<Shared>);

impl BreakerHandle {
    /// The state now. [`BreakerState::HalfOpen`] as soon as the open time is over, also if no attempt came since.
    pub fn state(&self) -> BreakerState {
        self.0.state()
    }

    /// Whether an attempt would be refused now: it is open, or every probe is under way.
    pub fn is_open(&self) -> bool {
        self.0.wait().is_some()
    }

    /// How long an attempt would be refused from now on; `None` if it would pass.
    pub fn wait(&self) -> Option<Duration> {
        self.0.wait()
    }
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for Breaker {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.guarded(attempt))
    }

    /// Passed down while it is closed. In bulk it waits until the breaker would let an attempt pass, so that a list is not used up against a
    /// provider that is down.
    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        match self.shared.is_closed() {
            true => self.inner.warm(attempt),
            false => Box::pin(self.warmed(attempt)),
        }
    }
}

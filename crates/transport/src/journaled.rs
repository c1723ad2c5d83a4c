//! The journal layer: an attempt is noted before its first byte and after its end, also when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core_types::{
    AccountId, Attempt, AttemptError, AttemptJournal, BoxFuture, Class, Clock, ClockExt, Evidence, Fact,
    FailureKind, HttpService, Intent, JournalError, JournalErrorKind, Observer, Outcome, Scope,
};

/// By how much a fence may be later than it need be: the safe side.
const READ_APART: Duration = Duration::from_millis(1);

/// Notes every attempt that has an intent. What cannot be noted is not sent.
#[derive(Debug)]
pub struct Journaled {
    inner: Arc<dyn HttpService>,
    journal: Arc<dyn AttemptJournal>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl Journaled {
    /// A journal layer around `inner`.
    pub fn new(
        inner: Arc<dyn HttpService>,
        journal: Arc<dyn AttemptJournal>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { inner, journal, clock, observer }
    }

    async fn noted(&self, mut attempt: Attempt, intent: Arc<Intent>) -> Outcome {
        let (number, until) = (attempt.number(), attempt.deadline().ends_by());
        let now = attempt.at(&*self.clock);
        // A deadline that was given is the one the call was claimed under.
        let intent = match attempt.runs_from_permit() {
            true => self.fenced(until.saturating_duration_since(now), intent),
            false => intent,
        };
        // Armed before the note: a begin that is dropped or runs out of time may have been kept.
        let mut note =
            Note { layer: self, intent, number, evidence: attempt.evidence().clone(), ended: false };
        #[cfg(trunkline_mutation)]
        if trunkline_core_types::Mutation::JournalAfterSend.is_on() {
            let outcome = self.inner.send(attempt).await;
            let _ = self.journal.begin(&note.intent, number).await;
            note.end(outcome.class, kept(&outcome, &note.intent.account));
            return outcome;
        }
        let at_once = (now < until).then(|| self.journal.begin_at_once(&note.intent, number)).flatten();
        let begun = match at_once {
            Some(begun) => Some(begun),
            // Boxed, since it is needed only for a journal that makes one wait.
            None => {
                let begin = self.journal.begin(&note.intent, number);
                let begun = Box::pin(self.clock.bounded_at(now, until, begin)).await;
                attempt.refresh(&*self.clock);
                begun
            }
        };
        match begun {
            Some(Ok(())) => {}
            Some(Err(error)) => return note.refused(Some(error)),
            None => return note.refused(None),
        }
        let outcome = self.inner.send(attempt).await;
        let reply = kept(&outcome, &note.intent.account);
        note.end(outcome.class, reply);
        outcome
    }

    /// With the fence of the attempt: the call was claimed under that of its whole wait, which in bulk may be a day.
    fn fenced(&self, left: Duration, intent: Arc<Intent>) -> Arc<Intent> {
        let fence = self.clock.wall() + left;
        // The two clocks are not read in one instant; what little that makes is no reason for another intent.
        if fence + READ_APART >= intent.fence {
            return intent;
        }
        Arc::new(Intent { fence, ..Intent::clone(&intent) })
    }
}

/// The reply that `place` gives again for a settled key.
fn kept(outcome: &Outcome, account: &AccountId) -> Option<Bytes> {
    match (outcome.class, &outcome.result) {
        (Class::Accepted | Class::Rejected(Scope::Call), Ok(reply)) => Some(reply.to_record(account)),
        _ => None,
    }
}

struct Note<'a> {
    layer: &'a Journaled,
    intent: Arc<Intent>,
    number: u32,
    evidence: Evidence,
    ended: bool,
}

impl Note<'_> {
    fn end(&mut self, class: Class, reply: Option<Bytes>) {
        self.ended = true;
        match self.layer.journal.end(&self.intent.key, self.number, class, reply) {
            Ok(()) if class == Class::Accepted => self.evidence.note_answered(),
            Ok(()) => {}
            Err(_) => self.layer.observer.saw(Fact::JournalFailed { step: "end" }),
        }
    }

    fn refused(mut self, error: Option<JournalError>) -> Outcome {
        self.layer.observer.saw(Fact::JournalFailed { step: "begin" });
        self.ended = true;
        // Best effort: the begin may have been kept although it failed. One that did not fit was not, and its number may be another's.
        if error.as_ref().is_none_or(|error| error.kind() != JournalErrorKind::State) {
            let _ = self.layer.journal.end(&self.intent.key, self.number, Class::Unsent, None);
        }
        let message = "the attempt could not be noted, so it was not sent; see the cause";
        let made = AttemptError::new(FailureKind::Journal, message);
        Outcome::unsent(error.map_or(made.clone(), |error| made.with_source(error)))
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(self.evidence.class(), None);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for Journaled {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        match attempt.intent().cloned() {
            Some(intent) => Box::pin(self.noted(attempt, intent)),
            None => self.inner.send(attempt),
        }
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        self.inner.warm(attempt)
    }
}

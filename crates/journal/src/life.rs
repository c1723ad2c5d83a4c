//! Life of one key as pure rules: the attempts of a claim, their fold, and what a settle may do.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use trunkline_core_types::{Class, IdempotencyKey, Intent, JournalError, JournalErrorKind, Scope};

/// Attempts kept of one claim; more are refused.
const MAX_ATTEMPTS: usize = 256;

/// A key that is claimed: its attempts, one of which may be in flight.
#[derive(Debug)]
pub(crate) struct Open {
    /// The latest intent: failover changes account and fence.
    pub(crate) intent: Arc<Intent>,
    /// The highest number begun under this key, in this claim or before.
    last: u32,
    attempts: Attempts,
    /// The claimer gave up with an unknown outcome: nothing more may begin.
    left: bool,
}

/// The attempts of a claim in order. Most have one, which needs no place of its own.
#[derive(Debug, Default)]
struct Attempts {
    first: Option<Attempt>,
    more: Vec<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    number: u32,
    class: Option<Class>,
}

/// A key that nobody holds. Its attempts stay for an `end` that comes after the answer.
#[derive(Debug)]
pub(crate) struct Ended {
    open: Open,
    answer: Option<Answer>,
}

/// What a settled key answers: class and reply.
pub(crate) type Answer = (Class, Option<Bytes>);

/// What a step leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The key stays open.
    Stays,
    /// The key has its answer.
    Settles(Class),
    /// The key is free.
    Frees,
}

impl Open {
    /// A claim of a key under which numbers up to `last` were used before.
    pub(crate) fn new(intent: Arc<Intent>, last: u32) -> Self {
        Self { intent, last, attempts: Attempts::default(), left: false }
    }

    /// A key as a store kept it: `attempts` of its claim in order, none as the class of one in flight. Nobody holds it any more.
    #[cfg(feature = "sqlite")]
    pub(crate) fn restored(intent: Arc<Intent>, last: u32, attempts: Vec<(u32, Option<Class>)>) -> Self {
        let mut attempts = attempts.into_iter().map(|(number, class)| Attempt { number, class });
        let attempts = Attempts { first: attempts.next(), more: attempts.collect() };
        Self { intent, last, attempts, left: true }
    }

    /// The attempts of the claim in order; none as the class of one in flight.
    #[cfg(feature = "sqlite")]
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (u32, Option<Class>)> {
        self.attempts.iter().map(|attempt| (attempt.number, attempt.class))
    }

    /// The highest number used under the key.
    #[cfg(feature = "sqlite")]
    pub(crate) fn last_number(&self) -> u32 {
        self.last
    }

    /// Whether the claimer gave up with an unknown outcome.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_left(&self) -> bool {
        self.left
    }

    /// Notes attempt `number` as in flight.
    pub(crate) fn begin(&mut self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        let same = Arc::ptr_eq(intent, &self.intent);
        if !same && intent.detail != self.intent.detail {
            return Err(state("begin: the key was claimed for another call; claim it with this detail"));
        }
        if self.left {
            return Err(state("begin: the call was left with an unknown outcome; reconcile it"));
        }
        if self.in_flight() {
            return Err(state("begin: an attempt of this key is in flight; end it first"));
        }
        if number <= self.last {
            return Err(state("begin: the number was used before; count upwards under one key"));
        }
        if self.attempts.len() == MAX_ATTEMPTS {
            return Err(JournalError::new(
                JournalErrorKind::Full,
                format!("begin: a claim holds at most {MAX_ATTEMPTS} attempts; settle the call"),
            ));
        }
        if !same {
            self.intent = intent.clone();
        }
        self.last = number;
        self.attempts.push(Attempt { number, class: None });
        Ok(())
    }

    /// Notes how attempt `number` ended; the same again changes nothing, and only `Ambiguous` gives way to better knowledge.
    pub(crate) fn end(&mut self, number: u32, class: Class) -> Result<Step, JournalError> {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.number == number);
        let attempt = attempt.ok_or_else(|| state("end: no such attempt; begin it first"))?;
        match attempt.class {
            None | Some(Class::Ambiguous) => attempt.class = Some(class),
            Some(known) if known == class => {}
            Some(_) => return Err(state("end: the attempt ended otherwise before; keep the first verdict")),
        }
        Ok(match self.fold() {
            Some(Class::Accepted) => Step::Settles(Class::Accepted),
            // While another attempt runs its end decides.
            Some(folded @ Class::Rejected(Scope::Call)) if !self.in_flight() => Step::Settles(folded),
            _ => Step::Stays,
        })
    }

    /// What the claimer's fold or a proof does to the key; `now` is asked only where the fence matters.
    pub(crate) fn settle(
        &mut self,
        class: Class,
        now: impl FnOnce() -> SystemTime,
    ) -> Result<Step, JournalError> {
        match class {
            Class::Accepted => return Ok(Step::Settles(class)),
            #[cfg(trunkline_mutation)]
            Class::Ambiguous if trunkline_core_types::Mutation::UnknownFreesKey.is_on() => {
                return Ok(Step::Frees);
            }
            Class::Ambiguous => {
                self.left = true;
                return Ok(Step::Stays);
            }
            _ => {}
        }
        // Before the fence a byte of the attempt may still leave: a refusal proves nothing yet.
        if self.in_flight() && now() < self.intent.fence {
            return Err(state("settle: an attempt is in flight; end it, or wait for the call's fence"));
        }
        Ok(match class {
            Class::Rejected(Scope::Call) => Step::Settles(class),
            _ => Step::Frees,
        })
    }

    /// The key with its answer, or free without one.
    pub(crate) fn ended(self, answer: Option<Answer>) -> Ended {
        Ended { open: self, answer }
    }

    /// Whether an attempt began under this claim: before that nothing can be unknown.
    pub(crate) fn has_begun(&self) -> bool {
        self.attempts.first.is_some()
    }

    /// Whether an attempt has no end yet.
    pub(crate) fn in_flight(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.class.is_none())
    }

    fn fold(&self) -> Option<Class> {
        self.attempts.iter().filter_map(|attempt| attempt.class).reduce(Class::fold)
    }
}

impl Attempts {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn push(&mut self, attempt: Attempt) {
        match self.first {
            None => self.first = Some(attempt),
            Some(_) => self.more.push(attempt),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.first.iter_mut().chain(&mut self.more)
    }
}

impl Ended {
    /// The key.
    pub(crate) fn key(&self) -> &IdempotencyKey {
        &self.open.intent.key
    }

    /// The call that the key stands for.
    pub(crate) fn detail(&self) -> &Bytes {
        &self.open.intent.detail
    }

    /// The answer; none if the key is free.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// The highest number used under the key.
    pub(crate) fn last(&self) -> u32 {
        self.open.last
    }

    /// The claim that ended.
    #[cfg(feature = "sqlite")]
    pub(crate) fn claim(&self) -> &Open {
        &self.open
    }

    /// An attempt ends after its key: one that was begun and contradicts nothing. A free key may still learn its answer.
    pub(crate) fn end(
        &mut self,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        if class == Class::Accepted && self.answer.as_ref().is_some_and(|(known, _)| *known != class) {
            return Err(state("end: the key was settled as refused; check who was rung"));
        }
        let step = self.open.end(number, class)?;
        if let (None, Step::Settles(class)) = (&self.answer, step) {
            self.answer = Some((class, reply));
        }
        Ok(())
    }

    /// A settle after the key's end: an answer stays, the same again changes nothing, and a free key takes a proof of acceptance.
    pub(crate) fn settle(&mut self, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        match &mut self.answer {
            Some((known, kept)) if *known == class => {
                *kept = kept.take().or(reply);
                Ok(())
            }
            Some(_) => Err(state("settle: the key has another answer, which stays")),
            None if class == Class::Accepted => {
                self.answer = Some((class, reply));
                Ok(())
            }
            None if frees(class) => Ok(()),
            None => Err(state("settle: nobody holds the key; claim it first")),
        }
    }
}

fn frees(class: Class) -> bool {
    matches!(class, Class::Unsent | Class::Deferred | Class::Rejected(Scope::Account))
}

/// A step that does not fit the key's state.
pub(crate) fn state(message: &'static str) -> JournalError {
    JournalError::new(JournalErrorKind::State, message)
}

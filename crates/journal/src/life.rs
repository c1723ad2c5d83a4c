//! Life of one key as pure rules: the attempts of a claim, their fold, and what a settle may do.

use std::sync::Arc;
use std::time::SystemTime;

use trunkline_core_types::{Class, Intent, JournalError, JournalErrorKind, Scope};

/// Attempts kept of one claim; more are refused.
const MAX_ATTEMPTS: usize = 256;

/// A key that is claimed.
#[derive(Debug)]
pub(crate) struct Open {
    /// The latest intent: failover changes account and fence.
    pub(crate) intent: Arc<Intent>,
    tried: Tried,
    /// The number that was given to the claimer.
    first: u32,
    /// The claimer gave up with an unknown outcome: nothing more may begin.
    left: bool,
}

/// The attempts of a claim in order, one of which may be in flight. Most claims have one, which needs no place of its own.
#[derive(Debug)]
pub(crate) struct Tried {
    /// The highest number begun under the key, in this claim or before.
    last: u32,
    /// How the attempt of that number ended, if it is of this claim; none inside while it is in flight.
    latest: Option<Option<Class>>,
    #[expect(clippy::box_collection, reason = "a million keys have the word, few the attempts")]
    earlier: Option<Box<Vec<Attempt>>>,
}

/// Number and class; none as the class of one in flight.
type Attempt = (u32, Option<Class>);

/// A key that nobody holds. Its attempts stay for an `end` that comes after the answer; the reply lies with the store.
#[derive(Debug)]
pub(crate) struct Ended {
    tried: Tried,
    answer: Option<Class>,
}

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
        let first = first_after(last);
        Self { intent, tried: Tried { last, latest: None, earlier: None }, first, left: false }
    }

    /// A key as a store kept it, which nobody holds any more.
    #[cfg(feature = "sqlite")]
    pub(crate) fn restored(intent: Arc<Intent>, tried: Tried) -> Self {
        Self { intent, tried, first: 0, left: true }
    }

    /// What was tried under this claim.
    #[cfg(feature = "sqlite")]
    pub(crate) fn tried(&self) -> &Tried {
        &self.tried
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
        if number <= self.tried.last {
            return Err(state("begin: the number was used before; count upwards under one key"));
        }
        if self.tried.len() == MAX_ATTEMPTS {
            return Err(JournalError::new(
                JournalErrorKind::Full,
                format!("begin: a claim holds at most {MAX_ATTEMPTS} attempts; settle the call"),
            ));
        }
        if !same {
            self.intent = intent.clone();
        }
        self.tried.begin(number);
        Ok(())
    }

    /// Notes how attempt `number` ended.
    pub(crate) fn end(&mut self, number: u32, class: Class) -> Result<Step, JournalError> {
        self.tried.end(number, class)
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

    /// The same for the claimer who was given this number. He may have been away for so long that others went by his key.
    pub(crate) fn settle_claim(
        &mut self,
        number: u32,
        class: Class,
        now: impl FnOnce() -> SystemTime,
    ) -> Result<Step, JournalError> {
        if !class.may_have_acted() {
            if number != self.first {
                return Err(state("settle_claim: the key was claimed anew since, and is not yours to end"));
            }
            if self.left || self.tried.fold() == Some(Class::Ambiguous) {
                return Err(state("settle_claim: an outcome under the key is unknown; settle it with proof"));
            }
        }
        self.settle(class, now)
    }

    /// The key with its answer, or free without one.
    pub(crate) fn ended(self, answer: Option<Class>) -> Ended {
        let mut tried = self.tried;
        // Used up although nothing began: a claim is known by it.
        tried.last = tried.last.max(self.first);
        Ended { tried, answer }
    }

    /// Whether an attempt began under this claim: before that nothing can be unknown.
    pub(crate) fn has_begun(&self) -> bool {
        self.tried.len() > 0
    }

    /// Whether an attempt has no end yet.
    pub(crate) fn in_flight(&self) -> bool {
        self.tried.in_flight()
    }
}

impl Tried {
    /// As a store kept it: the attempts of a claim in order of their numbers, of which `last` is the highest.
    #[cfg(feature = "sqlite")]
    pub(crate) fn restored(last: u32, mut attempts: Vec<Attempt>) -> Self {
        let latest = attempts.pop_if(|(number, _)| *number == last).map(|(_, class)| class);
        let earlier = (!attempts.is_empty()).then(|| Box::new(attempts));
        Self { last, latest, earlier }
    }

    /// The highest number used under the key.
    #[cfg(feature = "sqlite")]
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// The attempts in order.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = Attempt> {
        let latest = self.latest.map(|class| (self.last, class));
        self.earlier.iter().flat_map(|earlier| earlier.iter().copied()).chain(latest)
    }

    fn len(&self) -> usize {
        usize::from(self.latest.is_some()) + self.earlier.as_ref().map_or(0, |earlier| earlier.len())
    }

    /// Whether an attempt has no end yet.
    pub(crate) fn in_flight(&self) -> bool {
        self.attempts().any(|(_, class)| class.is_none())
    }

    fn fold(&self) -> Option<Class> {
        self.attempts().filter_map(|(_, class)| class).reduce(Class::fold)
    }

    fn begin(&mut self, number: u32) {
        if let Some(class) = self.latest.replace(None) {
            self.earlier.get_or_insert_default().push((self.last, class));
        }
        self.last = number;
    }

    fn find(&mut self, number: u32) -> Option<&mut Option<Class>> {
        if self.latest.is_some() && number == self.last {
            return self.latest.as_mut();
        }
        let earlier = self.earlier.as_mut()?;
        earlier.iter_mut().find(|(known, _)| *known == number).map(|(_, class)| class)
    }

    /// Notes how attempt `number` ended; the same again changes nothing, and only `Ambiguous` gives way to better knowledge.
    fn end(&mut self, number: u32, class: Class) -> Result<Step, JournalError> {
        let known = self.find(number).ok_or_else(|| state("end: no such attempt; begin it first"))?;
        match *known {
            None | Some(Class::Ambiguous) => *known = Some(class),
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
}

impl Ended {
    /// The class of its answer; none if the key is free.
    pub(crate) fn answer(&self) -> Option<Class> {
        self.answer
    }

    /// The highest number used under the key.
    pub(crate) fn last(&self) -> u32 {
        self.tried.last
    }

    /// What was tried under the claim that ended.
    #[cfg(feature = "sqlite")]
    pub(crate) fn tried(&self) -> &Tried {
        &self.tried
    }

    /// An attempt ends after its key: one that was begun and contradicts nothing. A free key may still learn its answer. Whether the
    /// reply that came along is the answer's.
    pub(crate) fn end(&mut self, number: u32, class: Class) -> Result<bool, JournalError> {
        if class == Class::Accepted && self.answer.is_some_and(|known| known != class) {
            return Err(state("end: the key was settled as refused; check who was rung"));
        }
        let step = self.tried.end(number, class)?;
        let (None, Step::Settles(class)) = (self.answer, step) else { return Ok(false) };
        self.answer = Some(class);
        Ok(true)
    }

    /// A settle after the key's end: an answer stays, the same again changes nothing, and a free key takes a proof of acceptance.
    /// Whether the reply that came along is the answer's, if it has none yet.
    pub(crate) fn settle(&mut self, class: Class) -> Result<bool, JournalError> {
        match self.answer {
            Some(known) if known == class => Ok(true),
            Some(_) => Err(state("settle: the key has another answer, which stays")),
            None if class == Class::Accepted => {
                self.answer = Some(class);
                Ok(true)
            }
            None if frees(class) => Ok(false),
            None => Err(state("settle: nobody holds the key; claim it first")),
        }
    }
}

fn frees(class: Class) -> bool {
    matches!(class, Class::Unsent | Class::Deferred | Class::Rejected(Scope::Account))
}

/// The number that a claim is given where those up to `last` were used. At the end of the numbers every begin is refused.
pub(crate) fn first_after(last: u32) -> u32 {
    last.saturating_add(1)
}

/// A step that does not fit the key's state.
pub(crate) fn state(message: &'static str) -> JournalError {
    JournalError::new(JournalErrorKind::State, message)
}

//! The retry gate: may this be repeated? Pure, and the only maker of the token a repeat needs.

use std::time::{Duration, Instant};

use crate::{Class, Idempotency, Operation, Scope};

/// What the gate decides on.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The fold of all attempts so far.
    pub folded: Class,
    /// The class of the last attempt.
    pub last: Class,
    /// What is done.
    pub operation: Operation,
    /// Why a repeat does not act twice, if so.
    pub idempotency: Idempotency,
    /// Whether tries are left. Repeats of an attempt that never touched the wire for our own reasons do not count as tries.
    pub tries_left: bool,
    /// The pause before the repeat.
    pub after: Duration,
    /// The present.
    pub now: Instant,
    /// When the first attempt of the call began.
    pub first: Instant,
    /// When the operation has to be over.
    pub deadline: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Repeat after the pause, with this token.
    Repeat {
        /// Turns the spare copy into the next attempt.
        token: RepeatToken,
        /// How long to wait first; may be zero.
        after: Duration,
    },
    /// The outcome is open and a repeat could ring twice: leave it to reconcile.
    Reconcile,
    /// The last word is spoken.
    GiveUp,
}

/// Proof that the gate allowed one repeat. It has no other maker:
///
/// ```compile_fail
/// let token = trunkline_core_types::RepeatToken(());
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct RepeatToken(());

impl RepeatToken {
    pub(crate) fn spend(self) {}
}

/// Whether the operation may be tried again.
///
/// A create whose fold is ambiguous is repeated only under an idempotency key that the provider honours, inside its window. A
/// rejection or acceptance is final. No repeat starts at or after the deadline.
pub fn gate(question: &Question) -> Decision {
    let stop = match question.folded {
        Class::Ambiguous if question.operation == Operation::Create => Decision::Reconcile,
        _ => Decision::GiveUp,
    };
    let in_time = question.now.checked_add(question.after).is_some_and(|start| start < question.deadline);
    if question.tries_left && in_time && harmless(question) {
        return Decision::Repeat { token: RepeatToken(()), after: question.after };
    }
    stop
}

fn harmless(question: &Question) -> bool {
    match question.folded {
        Class::Unsent | Class::Deferred => true,
        Class::Accepted | Class::Rejected(Scope::Call | Scope::Account) => false,
        // After a refusal of the repeat, another one will be refused too.
        Class::Ambiguous => !matches!(question.last, Class::Rejected(_)) && acts_once(question),
    }
}

fn acts_once(question: &Question) -> bool {
    match question.idempotency {
        Idempotency::No => question.operation == Operation::Read,
        Idempotency::Natural => true,
        Idempotency::Key { window } => {
            question.now.saturating_duration_since(question.first) + question.after < window
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, SystemClock};

    const KEYED: Idempotency = Idempotency::Key { window: Duration::from_secs(60) };

    fn question(folded: Class, last: Class, operation: Operation, idempotency: Idempotency) -> Question {
        let now = SystemClock::new().now();
        Question {
            folded,
            last,
            operation,
            idempotency,
            tries_left: true,
            after: Duration::from_secs(1),
            now,
            first: now,
            deadline: now + Duration::from_secs(30),
        }
    }

    fn repeats(q: &Question) -> bool {
        matches!(gate(q), Decision::Repeat { .. })
    }

    #[test]
    fn every_combination_of_class_operation_and_idempotency() {
        for before in Class::ALL {
            for last in Class::ALL {
                let folded = before.fold(last);
                for operation in Operation::ALL {
                    for idempotency in [Idempotency::No, Idempotency::Natural, KEYED] {
                        let safe = idempotency != Idempotency::No || operation == Operation::Read;
                        let want = match folded {
                            Class::Unsent | Class::Deferred => true,
                            Class::Ambiguous => safe && !matches!(last, Class::Rejected(_)),
                            _ => false,
                        };
                        let q = question(folded, last, operation, idempotency);
                        assert_eq!(repeats(&q), want, "{q:?}");
                        let open_create = folded == Class::Ambiguous && operation == Operation::Create;
                        assert_eq!(gate(&q) == Decision::Reconcile, open_create && !want, "{q:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_tries_no_time_or_no_window_ends_it() {
        let open = question(Class::Ambiguous, Class::Ambiguous, Operation::Create, KEYED);
        assert!(repeats(&open));
        assert_eq!(gate(&Question { tries_left: false, ..open }), Decision::Reconcile);
        assert_eq!(gate(&Question { deadline: open.now + open.after, ..open }), Decision::Reconcile);
        let old = Question { now: open.first + Duration::from_secs(59), ..open };
        assert_eq!(
            gate(&Question { deadline: old.now + Duration::from_secs(9), ..old }),
            Decision::Reconcile
        );
        assert_eq!(gate(&Question { after: Duration::MAX, ..open }), Decision::Reconcile);
        let unsent = question(Class::Unsent, Class::Unsent, Operation::Create, Idempotency::No);
        assert_eq!(gate(&Question { tries_left: false, ..unsent }), Decision::GiveUp);
    }
}

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
    /// Whether the account's retry budget pays for one more repeat.
    pub budget_left: bool,
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
    /// Repeat at once.
    Now {
        /// Turns the spare copy into the next attempt.
        token: RepeatToken,
    },
    /// Repeat after a pause.
    After {
        /// Turns the spare copy into the next attempt.
        token: RepeatToken,
        /// How long to wait first; above zero, and over before the deadline.
        pause: Duration,
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
///
/// So a create cannot be hedged: the spare copy is no attempt, and becomes one only for a token.
///
/// ```compile_fail,E0061
/// # use trunkline_core_types::{Attempt, HttpService, Spare};
/// async fn hedge(service: &dyn HttpService, first: Attempt, mut spare: Spare) {
///     let _ = (service.send(first), service.send(spare.repeat()));
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use trunkline_core_types::{Attempt, HttpService, Spare};
/// async fn hedge(service: &dyn HttpService, first: Attempt, spare: Spare) {
///     let _ = (service.send(first), service.send(spare));
/// }
/// ```
///
/// One token makes one attempt:
///
/// ```compile_fail,E0382
/// # use trunkline_core_types::{Attempt, RepeatToken, Spare};
/// fn twice(spare: &mut Spare, token: RepeatToken) -> (Attempt, Attempt) {
///     (spare.repeat(token), spare.repeat(token))
/// }
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
    if !(question.tries_left && question.budget_left && in_time && harmless(question)) {
        return stop;
    }
    let token = RepeatToken(());
    match question.after {
        Duration::ZERO => Decision::Now { token },
        pause => Decision::After { token, pause },
    }
}

fn harmless(question: &Question) -> bool {
    #[cfg(trunkline_mutation)]
    if crate::Mutation::BlindRepeat.is_on() && question.folded == Class::Ambiguous {
        return true;
    }
    match question.folded {
        Class::Unsent | Class::Deferred => true,
        Class::Accepted | Class::Rejected(Scope::Call | Scope::Account) => false,
        // After a refusal of the repeat, another one will be refused too.
        Class::Ambiguous => !matches!(question.last, Class::Rejected(_)) && acts_once(question),
    }
}

fn acts_once(question: &Question) -> bool {
    #[cfg(trunkline_mutation)]
    if crate::Mutation::KeysTrusted.is_on() {
        return true;
    }
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
            budget_left: true,
            after: Duration::from_secs(1),
            now,
            first: now,
            deadline: now + Duration::from_secs(30),
        }
    }

    fn repeats(q: &Question) -> bool {
        matches!(gate(q), Decision::Now { .. } | Decision::After { .. })
    }

    /// The rule once more, written as a table.
    fn may_repeat(folded: Class, last: Class, operation: Operation, idempotency: Idempotency) -> bool {
        let acts_once = idempotency != Idempotency::No || operation == Operation::Read;
        match folded {
            Class::Unsent | Class::Deferred => true,
            Class::Ambiguous => acts_once && !matches!(last, Class::Rejected(_)),
            _ => false,
        }
    }

    /// Every closed input, and each of the four yes-or-no inputs.
    fn every_question() -> Vec<Question> {
        let mut all = Vec::new();
        for (before, last) in Class::ALL.iter().flat_map(|a| Class::ALL.map(|b| (a, b))) {
            for operation in Operation::ALL {
                for idempotency in [Idempotency::No, Idempotency::Natural, KEYED] {
                    let plain = question(before.fold(last), last, operation, idempotency);
                    all.extend((0..16).map(|bits| {
                        let after = if bits & 4 == 0 { Duration::ZERO } else { plain.after };
                        let deadline = if bits & 8 == 0 { plain.deadline } else { plain.now + after };
                        let (tries_left, budget_left) = (bits & 1 == 0, bits & 2 == 0);
                        Question { tries_left, budget_left, after, deadline, ..plain }
                    }));
                }
            }
        }
        all
    }

    #[test]
    fn every_combination_of_the_closed_inputs() {
        let all = every_question();
        assert_eq!(all.len(), 6 * 6 * 3 * 3 * 16);
        for q in all {
            let in_time = q.now + q.after < q.deadline;
            let repeat = q.tries_left
                && q.budget_left
                && in_time
                && may_repeat(q.folded, q.last, q.operation, q.idempotency);
            let open_create = q.folded == Class::Ambiguous && q.operation == Operation::Create;
            let right = match gate(&q) {
                Decision::Now { .. } => repeat && q.after.is_zero(),
                Decision::After { pause, .. } => repeat && !pause.is_zero() && pause == q.after,
                Decision::Reconcile => !repeat && open_create,
                Decision::GiveUp => !repeat && !open_create,
            };
            assert!(right, "{:?} to {q:?}", gate(&q));
        }
    }

    #[test]
    fn no_window_or_no_room_in_time_ends_it() {
        let open = question(Class::Ambiguous, Class::Ambiguous, Operation::Create, KEYED);
        assert!(repeats(&open));
        let old = Question { now: open.first + Duration::from_secs(59), ..open };
        assert_eq!(
            gate(&Question { deadline: old.now + Duration::from_secs(9), ..old }),
            Decision::Reconcile
        );
        let almost = Question { now: open.first + Duration::from_secs(58), ..open };
        assert!(repeats(&Question { deadline: almost.now + Duration::from_secs(9), ..almost }));
        assert_eq!(gate(&Question { after: Duration::MAX, ..open }), Decision::Reconcile);
    }
}

//! What is known of an attempt and of a call: the outcome classes and their fold.

use std::fmt;

/// What a request does at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starts a call: doing it twice rings twice.
    Create,
    /// Changes something that exists, for example hangs up.
    Change,
    /// Reads.
    Read,
}

impl Operation {
    /// Every operation, for exhaustive tests and label sets.
    pub const ALL: [Self; 3] = [Self::Create, Self::Change, Self::Read];

    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Read => "read",
        }
    }
}

/// What a rejection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This call: no account will place it (bad number, bad text).
    Call,
    /// The account: credentials, funds, permission, caller id. Another account may still place it.
    Account,
}

/// What is known about one attempt, or, folded, about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// No byte of the request left this process and none can: a repeat cannot place a second call.
    Unsent,
    /// The provider proved that it did not act and may be asked again.
    Deferred,
    /// The provider will not act.
    Rejected(Scope),
    /// A 2xx, readable or not: placed.
    Accepted,
    /// Bytes left and no verdict came: never repeated blindly.
    Ambiguous,
}

impl Class {
    /// Every class, for exhaustive tests and label sets.
    pub const ALL: [Self; 6] = [
        Self::Unsent,
        Self::Deferred,
        Self::Rejected(Scope::Call),
        Self::Rejected(Scope::Account),
        Self::Accepted,
        Self::Ambiguous,
    ];

    /// The class of a call whose attempts so far fold to `self` and whose next attempt ended as `later`.
    ///
    /// Accepted if either is; else ambiguous if either is; else the later one. A refusal of the repeat proves nothing about the
    /// first attempt.
    ///
    /// ```
    /// # use trunkline_core_types::Class;
    /// assert_eq!(Class::Ambiguous.fold(Class::Deferred), Class::Ambiguous);
    /// assert_eq!(Class::Unsent.fold(Class::Accepted), Class::Accepted);
    /// ```
    #[must_use]
    pub fn fold(self, later: Self) -> Self {
        #[cfg(trunkline_mutation)]
        if crate::Mutation::LastClass.is_on() {
            return later;
        }
        if self == Self::Accepted || later == Self::Accepted {
            Self::Accepted
        } else if self == Self::Ambiguous || later == Self::Ambiguous {
            Self::Ambiguous
        } else {
            later
        }
    }

    /// Whether the provider may have acted: a phone may be ringing.
    pub fn may_have_acted(self) -> bool {
        matches!(self, Self::Accepted | Self::Ambiguous)
    }

    /// Whether another account or provider may place the call instead.
    pub fn may_go_elsewhere(self) -> bool {
        #[cfg(trunkline_mutation)]
        if crate::Mutation::FailoverAmbiguous.is_on() {
            return self != Self::Accepted;
        }
        matches!(self, Self::Unsent | Self::Deferred | Self::Rejected(Scope::Account))
    }

    /// A label from a closed set; both scopes of a rejection share one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Deferred => "deferred",
            Self::Rejected(_) => "rejected",
            Self::Accepted => "accepted",
            Self::Ambiguous => "ambiguous",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Accepted as A, Ambiguous as M, Deferred as D, Rejected, Unsent as U};

    const C: Class = Rejected(Scope::Call);
    const X: Class = Rejected(Scope::Account);

    #[test]
    fn fold_of_every_pair() {
        // Rows: what was known; columns: the next attempt, in the order of Class::ALL.
        let table = [
            (U, [U, D, C, X, A, M]),
            (D, [U, D, C, X, A, M]),
            (C, [U, D, C, X, A, M]),
            (X, [U, D, C, X, A, M]),
            (A, [A, A, A, A, A, A]),
            (M, [M, M, M, M, A, M]),
        ];
        for (before, row) in table {
            for (later, want) in Class::ALL.into_iter().zip(row) {
                assert_eq!(before.fold(later), want, "{before:?} then {later:?}");
            }
        }
    }

    #[test]
    fn fold_is_associative() {
        for a in Class::ALL {
            for b in Class::ALL {
                for c in Class::ALL {
                    assert_eq!(a.fold(b).fold(c), a.fold(b.fold(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_goes_elsewhere_that_may_have_acted() {
        for class in Class::ALL {
            assert!(!(class.may_have_acted() && class.may_go_elsewhere()), "{class:?}");
        }
    }
}

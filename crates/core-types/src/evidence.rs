//! The report cell of an attempt: what the layers above may conclude after they gave it up.

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::sync::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::{Class, Scope};

/// How far an attempt got, in the order in which it gets there.
///
/// It explains a [`Class`] to a person and decides nothing: a write that fails at the last byte and one that succeeds are both
/// `Ambiguous` without a reply. Over TLS the bytes are those on the wire, so `Whole` means that the encrypted request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// It has no connection, or gave one back unused.
    Waiting,
    /// It was handed a connection; no byte of the request has left.
    Connected,
    /// Some bytes of the request have left, not all.
    Part,
    /// The whole request has left.
    Whole,
    /// The head of a reply came.
    Head,
    /// The reply is complete.
    Complete,
}

impl Progress {
    /// Every step, in order, for exhaustive tests and label sets.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Connected, Self::Part, Self::Whole, Self::Head, Self::Complete];

    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connected => "connected",
            Self::Part => "part",
            Self::Whole => "whole",
            Self::Head => "head",
            Self::Complete => "complete",
        }
    }
}

/// What the leaf reports about the attempt in progress; shared by all attempts of one call, one after another.
///
/// A layer above that gives up first drops the inner future and then reads [`Evidence::class`]; read earlier, on any thread, it tells
/// what was so then, and `Ambiguous` from before the first byte on.
#[derive(Debug, Clone, Default)]
pub struct Evidence(Arc<Cell>);

#[derive(Debug, Default)]
struct Cell {
    state: AtomicU8,
    before: AtomicU8,
    progress: AtomicU8,
    number: AtomicU32,
    permitted: OnceLock<Instant>,
    answered: AtomicBool,
}

const LIVE: u8 = 1;

impl Evidence {
    /// A cell of a call that has not been tried: reads as `Unsent`.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of the current attempt.
    pub fn class(&self) -> Class {
        decode(self.0.state.load(Ordering::Acquire))
    }

    /// What is known of the call: the fold of its earlier attempts and the current one.
    pub fn folded(&self) -> Class {
        // Read first: an attempt that was renewed meanwhile is in what comes before.
        let current = self.class();
        decode(self.0.before.load(Ordering::Acquire)).fold(current)
    }

    /// How far the current attempt got; while it runs, at least so far. Read after the inner future was dropped it is final.
    pub fn progress(&self) -> Progress {
        let reached = usize::from(self.0.progress.load(Ordering::Relaxed));
        Progress::ALL.get(reached).copied().unwrap_or(Progress::Complete)
    }

    /// The leaf saw the attempt get this far; it never goes back.
    pub fn reached(&self, progress: Progress) {
        self.0.progress.fetch_max(progress as u8, Ordering::Relaxed);
    }

    /// The leaf hands a connection to the attempt: from here on a byte may leave.
    pub fn live(&self) {
        self.reached(Progress::Connected);
        self.0.state.store(LIVE, Ordering::Release);
    }

    /// The leaf knows the class. Nothing of the attempt may leave after an `Unsent`.
    pub fn settle(&self, class: Class) {
        self.0.state.store(encode(class), Ordering::Release);
    }

    /// Whether the journal took the end of an accepted attempt: the call's key then has its answer, and nothing is left to settle.
    pub fn is_answered(&self) -> bool {
        self.0.answered.load(Ordering::Acquire)
    }

    /// The journal layer handed over the end of an accepted attempt.
    pub fn note_answered(&self) {
        self.0.answered.store(true, Ordering::Release);
    }

    /// When the call got its first permit, if it has.
    pub fn permitted(&self) -> Option<Instant> {
        self.0.permitted.get().copied()
    }

    /// The number of the latest attempt.
    pub(crate) fn number(&self) -> u32 {
        self.0.number.load(Ordering::Relaxed)
    }

    pub(crate) fn note_number(&self, number: u32) {
        self.0.number.store(number, Ordering::Relaxed);
    }

    /// Notes a permit; only the first counts.
    pub(crate) fn permit(&self, now: Instant) -> Instant {
        *self.0.permitted.get_or_init(|| now)
    }

    /// The next attempt of the call starts clean.
    pub(crate) fn renew(&self) {
        self.0.before.store(encode(self.folded()), Ordering::Release);
        self.0.progress.store(0, Ordering::Relaxed);
        self.0.state.store(0, Ordering::Release);
    }
}

fn encode(class: Class) -> u8 {
    match class {
        Class::Unsent => 0,
        Class::Ambiguous => LIVE,
        Class::Deferred => 2,
        Class::Rejected(Scope::Call) => 3,
        Class::Rejected(Scope::Account) => 4,
        Class::Accepted => 5,
    }
}

fn decode(state: u8) -> Class {
    match state {
        0 => Class::Unsent,
        2 => Class::Deferred,
        3 => Class::Rejected(Scope::Call),
        4 => Class::Rejected(Scope::Account),
        5 => Class::Accepted,
        _ => Class::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_survives_the_cell() {
        let evidence = Evidence::new();
        assert_eq!(evidence.class(), Class::Unsent);
        evidence.live();
        assert_eq!(evidence.class(), Class::Ambiguous);
        for class in Class::ALL {
            evidence.settle(class);
            assert_eq!(evidence.clone().class(), class);
        }
    }

    #[test]
    fn progress_goes_forward_until_the_next_attempt() {
        let evidence = Evidence::new();
        assert_eq!(evidence.progress(), Progress::Waiting);
        evidence.live();
        assert_eq!(evidence.progress(), Progress::Connected);
        for step in Progress::ALL {
            evidence.reached(step);
            assert_eq!(evidence.progress(), step.max(Progress::Connected));
        }
        evidence.reached(Progress::Part);
        assert_eq!(evidence.progress(), Progress::Complete);
        evidence.renew();
        assert_eq!(evidence.progress(), Progress::Waiting);
    }

    #[test]
    fn a_renewed_cell_remembers_the_fold() {
        let evidence = Evidence::new();
        evidence.live();
        evidence.renew();
        assert_eq!((evidence.class(), evidence.folded()), (Class::Unsent, Class::Ambiguous));
        evidence.settle(Class::Rejected(Scope::Call));
        assert_eq!(evidence.folded(), Class::Ambiguous);
        evidence.renew();
        evidence.settle(Class::Accepted);
        assert_eq!(evidence.folded(), Class::Accepted);
    }
}

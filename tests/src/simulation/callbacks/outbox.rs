//! What is to be sent, by the time at which it is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Rung;
use crate::simulation::lives::Step;

/// One event on its way.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    pub(super) call: Arc<Rung>,
    pub(super) step: Step,
    /// Which of its call's steps.
    pub(super) index: usize,
    /// How often it was refused.
    pub(super) sends: u32,
    pub(super) forgery: Option<Forgery>,
}

/// What is wrong with an event that is not the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgery {
    OtherSecret,
    OtherBody,
    Unsigned,
    SignedTwice,
}

impl Forgery {
    pub(super) const ALL: [Self; 4] = [Self::OtherSecret, Self::OtherBody, Self::Unsigned, Self::SignedTwice];
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    due: BTreeMap<(Instant, u64), Sending>,
    number: u64,
    pub(super) closed: bool,
    pub(super) taken: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, at: Instant, send: Sending) {
        self.number += 1;
        self.due.insert((at, self.number), send);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<Sending> {
        self.due.pop_first().map(|(_, send)| send)
    }
}

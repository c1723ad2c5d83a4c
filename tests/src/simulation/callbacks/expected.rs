//! What a receiver must know after the events it took: an independent fold, from the call's life and not from the events' bodies.

use std::collections::BTreeMap;
use std::time::SystemTime;

use trunkline::Accepted;

use super::Rung;
use crate::simulation::lives::Step;

/// Which of a call's steps each receiver was told, as a set of bits.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<u32, u8>);

impl Told {
    /// Notes that a receiver took a step; whether for the first time.
    pub(super) fn note(&mut self, receiver: u32, index: usize) -> bool {
        let told = self.0.entry(receiver).or_default();
        let before = *told;
        *told |= 1 << index;
        before != *told
    }

    /// What is wrong with the receiver's copy, if anything.
    pub(super) fn disagrees(
        &self,
        receiver: u32,
        call: &Rung,
        accepted: &Accepted,
        first: bool,
    ) -> Option<String> {
        let told = self.0.get(&receiver).copied().unwrap_or_default();
        let steps = call.life.steps().enumerate().filter(|(index, _)| told & (1 << index) != 0);
        let expected = steps.map(|(_, step)| step).reduce(higher)?;
        let state = &accepted.state;
        let status = state.status().map(|status| status.as_str().to_owned()).unwrap_or_default();
        if status != expected.status {
            return Some(format!("the state is {status}, not {}", expected.status));
        }
        if state.since().map(SystemTime::from) != Some(call.placed + expected.age) {
            return Some(format!("{status} since {:?}", state.since()));
        }
        if state.is_over() != (expected.rank() == 4) {
            return Some(format!("over: {}", state.is_over()));
        }
        if accepted.duplicate == first {
            return Some(format!("taken as duplicate: {}", accepted.duplicate));
        }
        (!accepted.known).then(|| "the journal does not hold it as placed".to_owned())
    }
}

/// The one that holds: the higher rank, and of two ends the earlier.
fn higher(held: Step, step: Step) -> Step {
    let wins = match step.rank().cmp(&held.rank()) {
        std::cmp::Ordering::Equal => step.age < held.age,
        order => order.is_gt(),
    };
    if wins { step } else { held }
}

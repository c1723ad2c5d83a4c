//! What goes wrong with events on purpose: queued by a test or drawn from the seed.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_core_types::{EntropyExt, SeededEntropy};

use crate::faults::QUEUE;
use crate::{StartError, StartErrorKind};

/// One thing that goes wrong with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackFault {
    /// It is sent this much later.
    Late(Duration),
    /// It is sent twice, the same bytes.
    Twice,
    /// It is sent after the event of the next step. The last event of a call has none and goes as usual.
    Reordered,
    /// It is never sent.
    Lost,
}

impl CallbackFault {
    /// Its name in [`crate::Book::faults`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Late(_) => "callback_late",
            Self::Twice => "callback_twice",
            Self::Reordered => "callback_reordered",
            Self::Lost => "callback_lost",
        }
    }
}

/// How often each fault happens, in events per mille. Together at most 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackFaults {
    /// Chance of [`CallbackFault::Late`], per mille.
    pub late: u16,
    /// Chance of [`CallbackFault::Twice`], per mille.
    pub twice: u16,
    /// Chance of [`CallbackFault::Reordered`], per mille.
    pub reordered: u16,
    /// Chance of [`CallbackFault::Lost`], per mille.
    pub lost: u16,
    /// Delay of a drawn [`CallbackFault::Late`]. Default: 2 s.
    pub late_for: Duration,
}

impl CallbackFaults {
    /// Nothing goes wrong. The default.
    pub fn none() -> Self {
        Self { late: 0, twice: 0, reordered: 0, lost: 0, late_for: Duration::from_secs(2) }
    }

    /// A bad day: 50 of 1000 events late, 50 twice, 50 reordered, 10 lost.
    pub fn some() -> Self {
        Self { late: 50, twice: 50, reordered: 50, lost: 10, ..Self::none() }
    }

    /// 200 of 1000 events late, 200 twice, 200 reordered, 100 lost.
    pub fn hostile() -> Self {
        Self { late: 200, twice: 200, reordered: 200, lost: 100, ..Self::none() }
    }

    fn shares(&self) -> [(u16, CallbackFault); 4] {
        [
            (self.late, CallbackFault::Late(self.late_for)),
            (self.twice, CallbackFault::Twice),
            (self.reordered, CallbackFault::Reordered),
            (self.lost, CallbackFault::Lost),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let sum: u32 = self.shares().iter().map(|(chance, _)| u32::from(*chance)).sum();
        if sum > 1000 {
            let problem = format!("the chances add up to {sum} per mille; lower them to 1000 or less");
            return Err(StartError::new(StartErrorKind::Settings, "callback_faults", problem));
        }
        Ok(())
    }

    /// The fault at `roll`, a number below 1000.
    fn at(&self, mut roll: u64) -> Option<CallbackFault> {
        for (chance, fault) in self.shares() {
            match roll.checked_sub(u64::from(chance)) {
                Some(rest) => roll = rest,
                None => return Some(fault),
            }
        }
        None
    }
}

impl Default for CallbackFaults {
    fn default() -> Self {
        Self::none()
    }
}

/// Where the next event's fault comes from: the queue first, then one draw.
#[derive(Debug)]
pub(super) struct Source {
    chances: CallbackFaults,
    dice: SeededEntropy,
    queue: VecDeque<CallbackFault>,
}

impl Source {
    pub(super) fn new(chances: CallbackFaults, seed: u64) -> Self {
        Self { chances, dice: SeededEntropy::new(seed), queue: VecDeque::new() }
    }

    pub(super) fn push(&mut self, fault: CallbackFault) -> bool {
        let room = self.queue.len() < QUEUE;
        if room {
            self.queue.push_back(fault);
        }
        room
    }

    pub(super) fn draw(&mut self) -> Option<CallbackFault> {
        self.queue.pop_front().or_else(|| self.chances.at(self.dice.below(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_roll_has_its_fault() {
        let hostile = CallbackFaults::hostile();
        for (chance, fault) in hostile.shares() {
            let drawn = (0..1000).filter(|roll| hostile.at(*roll) == Some(fault)).count();
            assert_eq!(drawn, usize::from(chance), "{}", fault.name());
        }
        assert!((0..1000).all(|roll| CallbackFaults::none().at(roll).is_none()));
        assert!(CallbackFaults { late: 901, ..hostile }.check().is_err() && hostile.check().is_ok());
    }

    #[test]
    fn a_seed_replays_and_the_queue_comes_first_and_is_bounded() {
        let draws = |seed| {
            let mut source = Source::new(CallbackFaults::hostile(), seed);
            (0..200).map(|_| source.draw()).collect::<Vec<_>>()
        };
        assert!(draws(7) == draws(7) && draws(7) != draws(8));
        let mut source = Source::new(CallbackFaults::none(), 0);
        assert!((0..QUEUE).all(|_| source.push(CallbackFault::Lost)) && !source.push(CallbackFault::Twice));
        assert_eq!(source.draw(), Some(CallbackFault::Lost));
    }
}

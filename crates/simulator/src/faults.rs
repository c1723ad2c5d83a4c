//! What goes wrong on purpose: one fault at most for each create, queued by a test or drawn from a seed.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use trunkline_core_types::{EntropyExt, SeededEntropy};

use crate::{StartError, StartErrorKind};

/// The most faults that wait in the queue of [`crate::Simulator::fault_next`].
pub(crate) const QUEUE: usize = 1024;

/// One thing that goes wrong with one create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is reset; nothing was done.
    ResetBeforeActing,
    /// The phone rings and the key is used up; the connection is reset instead of a reply.
    ResetAfterActing,
    /// 500 `api`; nothing was done.
    ErrorBeforeActing,
    /// The phone rings and the key is used up; the answer is 500 `api`.
    ErrorAfterActing,
    /// 429 `rate_limit` although the pace was kept; nothing was done. Not a pace violation.
    Throttle {
        /// Value of `Retry-After`, seconds.
        retry_after: u32,
    },
    /// The phone rings at once; the reply comes this much later. Until then the key is in progress.
    Slow(Duration),
    /// The phone rings; the head and half of the body arrive, then the connection is reset.
    TruncatedReply,
    /// The phone rings and the reply is complete; then the connection closes without a word, so that it is stale in
    /// the client's pool.
    CloseAfterReply,
    /// The phone rings and the key is used up; the answer is 409 `idempotency_state_unknown`, now and to every repeat under the key. A
    /// look-up still finds the call.
    LostTrack,
}

impl Fault {
    /// Its name in [`crate::Book::faults`]: the variant in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResetBeforeActing => "reset_before_acting",
            Self::ResetAfterActing => "reset_after_acting",
            Self::ErrorBeforeActing => "error_before_acting",
            Self::ErrorAfterActing => "error_after_acting",
            Self::Throttle { .. } => "throttle",
            Self::Slow(_) => "slow",
            Self::TruncatedReply => "truncated_reply",
            Self::CloseAfterReply => "close_after_reply",
            Self::LostTrack => "lost_track",
        }
    }
}

/// How often each fault happens, in creates per mille. Together at most 1000.
///
/// | Field | `none` | `some` | `hostile` |
/// |---|---|---|---|
/// | `reset_before_acting` | 0 | 5 | 30 |
/// | `reset_after_acting` | 0 | 5 | 40 |
/// | `error_before_acting` | 0 | 5 | 30 |
/// | `error_after_acting` | 0 | 5 | 40 |
/// | `throttle` | 0 | 10 | 50 |
/// | `slow` | 0 | 10 | 30 |
/// | `truncated_reply` | 0 | 5 | 40 |
/// | `close_after_reply` | 0 | 10 | 50 |
/// | `lost_track` | 0 | 0 | 30 |
/// | sum | 0 | 55 | 340 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Chance of [`Fault::ResetBeforeActing`], per mille.
    pub reset_before_acting: u16,
    /// Chance of [`Fault::ResetAfterActing`], per mille.
    pub reset_after_acting: u16,
    /// Chance of [`Fault::ErrorBeforeActing`], per mille.
    pub error_before_acting: u16,
    /// Chance of [`Fault::ErrorAfterActing`], per mille.
    pub error_after_acting: u16,
    /// Chance of [`Fault::Throttle`], per mille.
    pub throttle: u16,
    /// Chance of [`Fault::Slow`], per mille.
    pub slow: u16,
    /// Chance of [`Fault::TruncatedReply`], per mille.
    pub truncated_reply: u16,
    /// Chance of [`Fault::CloseAfterReply`], per mille.
    pub close_after_reply: u16,
    /// Chance of [`Fault::LostTrack`], per mille.
    pub lost_track: u16,
    /// `Retry-After` of a drawn [`Fault::Throttle`], seconds. 1 in all three sets.
    pub throttle_for: u32,
    /// Delay of a drawn [`Fault::Slow`]. 250 ms in all three sets.
    pub slow_for: Duration,
}

impl Faults {
    /// Nothing goes wrong. The default.
    pub fn none() -> Self {
        Self {
            reset_before_acting: 0,
            reset_after_acting: 0,
            error_before_acting: 0,
            error_after_acting: 0,
            throttle: 0,
            slow: 0,
            truncated_reply: 0,
            close_after_reply: 0,
            lost_track: 0,
            throttle_for: 1,
            slow_for: Duration::from_millis(250),
        }
    }

    /// A bad day: 55 of 1000 creates meet a fault.
    pub fn some() -> Self {
        Self {
            reset_before_acting: 5,
            reset_after_acting: 5,
            error_before_acting: 5,
            error_after_acting: 5,
            throttle: 10,
            slow: 10,
            truncated_reply: 5,
            close_after_reply: 10,
            ..Self::none()
        }
    }

    /// As bad as it gets while calls still go through: 340 of 1000 creates meet a fault.
    pub fn hostile() -> Self {
        Self {
            reset_before_acting: 30,
            reset_after_acting: 40,
            error_before_acting: 30,
            error_after_acting: 40,
            throttle: 50,
            slow: 30,
            truncated_reply: 40,
            close_after_reply: 50,
            lost_track: 30,
            ..Self::none()
        }
    }

    fn shares(&self) -> [(u16, Fault); 9] {
        [
            (self.reset_before_acting, Fault::ResetBeforeActing),
            (self.reset_after_acting, Fault::ResetAfterActing),
            (self.error_before_acting, Fault::ErrorBeforeActing),
            (self.error_after_acting, Fault::ErrorAfterActing),
            (self.throttle, Fault::Throttle { retry_after: self.throttle_for }),
            (self.slow, Fault::Slow(self.slow_for)),
            (self.truncated_reply, Fault::TruncatedReply),
            (self.close_after_reply, Fault::CloseAfterReply),
            (self.lost_track, Fault::LostTrack),
        ]
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let sum: u32 = self.shares().iter().map(|(chance, _)| u32::from(*chance)).sum();
        if sum > 1000 {
            let problem = format!("the chances add up to {sum} per mille; lower them to 1000 or less");
            return Err(StartError::new(StartErrorKind::Settings, "faults", problem));
        }
        Ok(())
    }

    /// The fault at `roll`, a number below 1000.
    fn at(&self, mut roll: u64) -> Option<Fault> {
        for (chance, fault) in self.shares() {
            match roll.checked_sub(u64::from(chance)) {
                Some(rest) => roll = rest,
                None => return Some(fault),
            }
        }
        None
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl FromStr for Faults {
    type Err = StartError;

    /// Reads `none`, `some` or `hostile`.
    fn from_str(word: &str) -> Result<Self, StartError> {
        match word {
            "none" => Ok(Self::none()),
            "some" => Ok(Self::some()),
            "hostile" => Ok(Self::hostile()),
            _ => {
                let problem = "not a set of faults; write none, some or hostile";
                Err(StartError::new(StartErrorKind::Settings, "faults", problem))
            }
        }
    }
}

/// Where the next create's fault comes from: the queue first, then one draw.
#[derive(Debug)]
pub(crate) struct FaultSource {
    chances: Faults,
    dice: SeededEntropy,
    queue: VecDeque<Fault>,
}

impl FaultSource {
    pub(crate) fn new(chances: Faults, seed: u64) -> Self {
        Self { chances, dice: SeededEntropy::new(seed), queue: VecDeque::new() }
    }

    /// False if the queue is full.
    pub(crate) fn push(&mut self, fault: Fault) -> bool {
        let room = self.queue.len() < QUEUE;
        if room {
            self.queue.push_back(fault);
        }
        room
    }

    pub(crate) fn draw(&mut self) -> Option<Fault> {
        match self.queue.pop_front() {
            Some(fault) => Some(fault),
            None => self.chances.at(self.dice.below(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn draws(seed: u64, faults: Faults, count: usize) -> Vec<Option<Fault>> {
        let mut source = FaultSource::new(faults, seed);
        (0..count).map(|_| source.draw()).collect()
    }

    #[test]
    fn the_sets_add_up_to_their_documented_numbers() {
        let sum = |f: Faults| f.shares().iter().map(|(c, _)| u32::from(*c)).sum::<u32>();
        assert_eq!([sum(Faults::none()), sum(Faults::some()), sum(Faults::hostile())], [0, 55, 340]);
        assert_eq!("some".parse::<Faults>().unwrap(), Faults::some());
        assert_eq!("hostile".parse::<Faults>().unwrap(), Faults::hostile());
        assert_eq!("none".parse::<Faults>().unwrap(), Faults::default());
        assert!("Some".parse::<Faults>().unwrap_err().to_string().contains("none, some or hostile"));
    }

    #[test]
    fn every_roll_has_its_fault() {
        let hostile = Faults::hostile();
        let mut seen = BTreeMap::new();
        for roll in 0..1000 {
            *seen.entry(hostile.at(roll).map_or("nothing", Fault::name)).or_insert(0u16) += 1;
        }
        for (chance, fault) in hostile.shares() {
            assert_eq!(seen.get(fault.name()), Some(&chance), "{}", fault.name());
        }
        assert_eq!(seen.get("nothing"), Some(&660));
    }

    #[test]
    fn a_seed_replays_and_another_differs() {
        assert_eq!(draws(7, Faults::hostile(), 200), draws(7, Faults::hostile(), 200));
        assert_ne!(draws(7, Faults::hostile(), 200), draws(8, Faults::hostile(), 200));
        assert!(draws(7, Faults::none(), 200).iter().all(Option::is_none));
    }

    #[test]
    fn the_queue_comes_first_and_takes_no_draw() {
        let mut source = FaultSource::new(Faults::hostile(), 7);
        assert!(source.push(Fault::LostTrack));
        assert_eq!(source.draw(), Some(Fault::LostTrack));
        let rest: Vec<_> = (0..50).map(|_| source.draw()).collect();
        assert_eq!(rest, draws(7, Faults::hostile(), 50));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut source = FaultSource::new(Faults::none(), 0);
        assert!((0..QUEUE).all(|_| source.push(Fault::TruncatedReply)));
        assert!(!source.push(Fault::TruncatedReply));
    }

    #[test]
    fn too_many_faults_are_bad_settings() {
        let mut faults = Faults::none();
        faults.throttle = 600;
        faults.slow = 401;
        assert_eq!(
            faults.check().unwrap_err().to_string(),
            "faults: the chances add up to 1001 per mille; lower them to 1000 or less"
        );
    }
}

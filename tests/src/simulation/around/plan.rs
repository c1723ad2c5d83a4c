//! What one seed draws of everything around the calls.

use std::num::NonZeroU32;
use std::time::Duration;

use trunkline_core_types::{EntropyExt, SeededEntropy};

use crate::simulation::faults::Faults;
use crate::simulation::jumps::{Jumps, Paces};
use crate::simulation::rotation::Rotation;

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) calls: usize,
    pub(super) accounts: usize,
    /// Whether the provider honours idempotency keys and the client knows. If not, it is asked by number, and shows the keys or not.
    pub(super) keyed: bool,
    pub(super) shows_keys: bool,
    /// People who are rung, fewer than calls or not: without keys a call is told by whose the others are.
    pub(super) people: u64,
    pub(super) paces: Paces,
    pub(super) tolerance: Duration,
    pub(super) in_flight: NonZeroU32,
    pub(super) max_tries: u32,
    /// Calls come in over this time.
    pub(super) length: Duration,
    /// Chance of a fault per create, in per mille.
    pub(super) faults: u64,
    /// Chance of trouble per event, in per mille.
    pub(super) trouble: u64,
    pub(super) live_calls: Option<(NonZeroU32, Duration)>,
    pub(super) rotation: Rotation,
    pub(super) jumps: Jumps,
    /// How often the operator reconciles, and whether he frees what is proven absent and places it again.
    pub(super) interval: Duration,
    pub(super) frees: bool,
}

impl Plan {
    /// Without the changes that do not happen: each is a fault of its own.
    pub(super) fn with(mut self, faults: &Faults) -> Self {
        self.rotation.retain(|number| faults.happens(|| format!("rotation#{number}")));
        self.jumps.retain(|number| faults.happens(|| format!("jump#{number}")));
        self.paces.retain(|number| faults.happens(|| format!("pace#{number}")));
        self
    }

    /// The keys of every call.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        let singles = self.calls / 5;
        let bulk = (0..self.calls - singles).map(|number| format!("bulk-{number}"));
        bulk.chain((0..singles).map(|number| format!("single-{number}")))
    }

    /// Until when every key is asked for; `None` if an account may lie idle, whose first call then goes out with the key of before.
    pub(super) fn busy_until(&self) -> Option<Duration> {
        (self.accounts == 1).then_some(self.length)
    }

    pub(super) fn draw(entropy: &SeededEntropy, calls: usize) -> Self {
        let one_of = |choices: &[u32]| choices[entropy.below(choices.len() as u64) as usize];
        let positive = |number: u32| NonZeroU32::MIN.saturating_add(number.saturating_sub(1));
        let pace = positive(one_of(&[5, 20, 50]));
        let needed = Duration::from_secs(1 + calls as u64 / u64::from(pace.get()));
        let length = needed.max(Duration::from_secs(one_of(&[0, 300, 1_800, 1_800]).into()));
        let shows_keys = one_of(&[0, 1]) == 1;
        let people = [10_000_000, 1 + calls as u64 / 3][entropy.below(2) as usize];
        let live = positive(one_of(&[5, 40, 300]));
        let ttl = Duration::from_secs(one_of(&[20, 60, 300]).into());
        Self {
            calls,
            accounts: one_of(&[1, 1, 2]) as usize,
            keyed: one_of(&[0, 1, 1]) == 1,
            shows_keys,
            people,
            paces: Paces::draw(entropy, pace, length),
            tolerance: Duration::from_millis(one_of(&[5, 50, 200]).into()),
            in_flight: positive(one_of(&[8, 64])),
            max_tries: one_of(&[1, 3, 5]),
            length,
            faults: one_of(&[0, 50, 300]).into(),
            trouble: one_of(&[0, 100, 600]).into(),
            live_calls: (one_of(&[0, 1]) == 1).then_some((live, ttl)),
            rotation: Rotation::draw(entropy, length),
            jumps: Jumps::draw(entropy, length),
            interval: Duration::from_secs(one_of(&[5, 10, 60, 300]).into()),
            frees: one_of(&[0, 1]) == 1,
        }
    }
}

//! What one seed does: accounts, processes, pace, bounds and how hostile the world is.

use std::num::NonZeroU32;
use std::time::Duration;

use trunkline::Rate;
use trunkline_core_types::{EntropyExt, SeededEntropy};

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) calls: usize,
    pub(super) accounts: usize,
    /// Clients on one journal, each with its share of the pace.
    pub(super) processes: usize,
    /// Whether the provider honours idempotency keys, and the client knows.
    pub(super) keyed: bool,
    pub(super) per_second: NonZeroU32,
    pub(super) tolerance: Duration,
    pub(super) in_flight: NonZeroU32,
    pub(super) concurrency: usize,
    pub(super) max_tries: u32,
    /// Chance of a fault per request, in per mille.
    pub(super) faults: u64,
    /// Chance that a step of journal or signer is slow, in per mille.
    pub(super) slow: u64,
    /// Crashes to expect at steps of calls, and half as many of each process at any time.
    pub(super) crashes: u32,
    /// Chance that the journal refuses a step, in per mille.
    pub(super) refusals: u64,
    /// The longest time until a note that nobody waits for is durable, in ms.
    pub(super) flush: u64,
    /// The provider answers 503 to everything from then to then: breakers open, and probe when it is over.
    pub(super) outage: (Duration, Duration),
}

impl Plan {
    pub(super) fn draw(entropy: &SeededEntropy, calls: usize) -> Self {
        let one_of = |choices: &[u32]| choices[entropy.below(choices.len() as u64) as usize];
        let positive = |number: u32| NonZeroU32::MIN.saturating_add(number.saturating_sub(1));
        let mut plan = Self {
            calls,
            accounts: one_of(&[1, 1, 2]) as usize,
            processes: one_of(&[1, 1, 2]) as usize,
            keyed: one_of(&[0, 1]) == 1,
            per_second: positive(one_of(&[5, 20, 50])),
            tolerance: Duration::from_millis(one_of(&[5, 50, 200]).into()),
            in_flight: positive(one_of(&[2, 8, 64])),
            concurrency: one_of(&[4, 16, 64]) as usize,
            max_tries: one_of(&[1, 3, 5]),
            faults: one_of(&[0, 50, 300, 700]).into(),
            slow: one_of(&[0, 20, 200, 600]).into(),
            crashes: one_of(&[0, 1, 4, 12]),
            refusals: one_of(&[0, 0, 20]).into(),
            flush: one_of(&[0, 5, 500]).into(),
            outage: (Duration::ZERO, Duration::ZERO),
        };
        let from = plan.spread().mul_f64(0.5 * entropy.fraction());
        plan.outage = (from, from + Duration::from_secs(one_of(&[0, 10, 20]).into()));
        plan
    }

    /// The share of one process in the pace of an account.
    pub(super) fn share(&self) -> Rate {
        Rate::new(self.per_second, Duration::from_secs(self.processes as u64)).unwrap()
    }

    /// About how long the load takes.
    pub(super) fn spread(&self) -> Duration {
        Duration::from_millis((self.calls as u64 * 1000 / u64::from(self.per_second.get())).max(1))
    }
}

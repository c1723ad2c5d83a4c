//! The real client over scripted IO, one thread, paused time: same seed, same run, also in another process.
//!
//! The provider is a state machine behind the dial seam. Faults are drawn from the seed for every request: at every byte offset of
//! request and reply, blocked and failed writes, crashes before and after acting, throttles, slow and hanging replies, stale
//! connections. Journal and signer are slow at times. What must hold is checked against the provider's book at the end of each seed.

mod callbacks;
pub mod day;
mod exchange;
mod listing;
mod lives;
mod load;
mod operator;
mod plan;
mod provider;
mod rotation;
mod slow;
mod verdict;
mod wire;

use std::sync::Arc;

use trunkline_core_types::{Entropy, SeededEntropy, VirtualClock};

pub use verdict::Verdict;

/// Runs one seed with so many calls and says what was found.
///
/// # Panics
/// If no runtime can be built.
pub fn run(seed: u64, calls: usize) -> Verdict {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(VirtualClock::new());
        let entropy = SeededEntropy::new(seed);
        // The first draws of neighbouring seeds are alike.
        let plan = plan::Plan::draw(&SeededEntropy::new(entropy.next()), calls);
        let world = Arc::new(provider::World::new(entropy.next(), &plan, clock.clone()));
        let ended = load::place(&plan, &world, clock.clone(), entropy.next()).await;
        verdict::judge(seed, &plan, &world, &ended)
    })
}

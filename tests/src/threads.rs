//! The simulation's scenarios on real threads, over loopback, against the simulator as a server: coarse, and for what one thread in
//! paused time cannot show. The judge is the simulator's own book.

mod callers;
mod folder;
mod keys;
mod plan;
mod round;
mod verdict;
mod watch;

pub use plan::{Plan, plans};
pub use verdict::Verdict;

use std::sync::Arc;

use trunkline_core_types::SeededEntropy;

/// Places all calls of a plan on the runtime of the caller and compares their ends with the book.
///
/// # Panics
/// If a server, a client or a journal cannot be made.
pub async fn run(plan: Plan) -> Verdict {
    let plan = Arc::new(plan);
    let world = Arc::new(round::World::start(&plan).await);
    let entropy = Arc::new(SeededEntropy::new(plan.seed));
    let mut ends = callers::Ends::new(plan.calls);
    let mut leaked = 0;
    for number in 0..=plan.shutdowns {
        let last = number == plan.shutdowns;
        let round = round::Round::new(&plan, &world, entropy.clone());
        let numbers = ends.unplaced();
        let (seen, left) = round.run(numbers, last).await;
        ends.add(seen);
        leaked += left;
    }
    Verdict::of(&plan, &world, &ends, leaked)
}

//! The real client over scripted IO, one thread, paused time: same seed, same run, also in another process.
//!
//! The provider is a state machine behind the dial seam. Faults are drawn from the seed and their own names, for every request: at every
//! byte offset of request and reply, blocked and failed writes, crashes before and after acting, throttles, slow and hanging replies,
//! stale connections. Journal and signer are slow at times, and clients die. What must hold is checked at every step against the
//! provider's book and what the journal was told.

mod afterwards;
pub mod around;
mod book;
mod callbacks;
mod client;
pub mod day;
mod exchange;
mod fate;
mod faults;
mod findings;
mod journal;
mod jumps;
mod listing;
mod lives;
mod load;
mod log;
mod operator;
mod pace;
mod plan;
mod process;
pub mod refusals;
mod rotation;
mod scenario;
mod shrink;
mod story;
mod verdict;
mod watch;
mod wire;
mod world;

pub use findings::{Found, Invariant};
pub use scenario::{Flaw, Profile, Report, Scenario};
pub use shrink::Shrunk;
pub use story::{Event, Story};
pub use verdict::Verdict;

/// Runs one seed with so many calls and says what was found.
///
/// # Panics
/// If no runtime can be built.
pub fn run(seed: u64, calls: usize) -> Verdict {
    Scenario::new(seed, calls).run().verdict
}

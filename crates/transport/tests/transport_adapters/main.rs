//! Evidence through clients whose IO is not ours: reqwest, and tower services over hyper-util and by hand.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod evidence;
mod leaves;
mod peer;
mod race;
mod reqwest_leaf;
mod tower_both_ways;

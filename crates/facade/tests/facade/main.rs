//! The client as its users meet it: over a scripted peer in virtual time, and over the simulator's real sockets.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod bulk;
mod failover;
mod peer;
mod simulated;
mod virtual_time;

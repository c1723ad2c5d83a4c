//! The client as its users meet it: over a scripted peer in virtual time, and over the simulator's real sockets.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod anew;
#[cfg(feature = "batch")]
mod batch;
#[cfg(feature = "batch")]
mod batch_files;
mod bulk;
mod callbacks;
#[cfg(all(feature = "batch", feature = "sqlite"))]
mod clock_back;
mod drops;
mod failover;
mod faulty;
#[cfg(feature = "sqlite")]
mod heard;
#[cfg(feature = "reqwest")]
mod leaf;
mod listed;
mod listing;
mod pace;
mod pages;
mod peer;
mod proven;
mod queued;
mod reconcile;
mod rig;
mod simulated;
mod slow;
mod unanswered;
mod virtual_time;
mod webhooks;

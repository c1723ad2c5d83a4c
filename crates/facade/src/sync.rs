//! The locks and counters of this crate: std's, or loom's in a build with `--cfg trunkline_loom`, whose tests see every interleaving of them.

#[cfg(all(test, trunkline_loom))]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(all(test, trunkline_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

//! The breaker's lock and the gate's atomics: std's, or loom's in a build with `--cfg trunkline_loom`, whose tests see every interleaving of
//! them.

#[cfg(all(test, trunkline_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(all(test, trunkline_loom))]
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
#[cfg(not(all(test, trunkline_loom)))]
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) use std::sync::atomic::{AtomicU8, Ordering};

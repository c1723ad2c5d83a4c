//! The atomics of an attempt's cell: std's, or loom's in a build with `--cfg trunkline_loom`, whose tests see every interleaving of them.

#[cfg(all(test, trunkline_loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

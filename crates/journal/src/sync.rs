//! What both journals are synchronised with: the real things, or loom's in a build with `--cfg trunkline_loom`, whose tests see every
//! interleaving of them.

#[cfg(test)]
#[cfg(trunkline_loom)]
pub(crate) mod model;

#[cfg(all(test, trunkline_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(all(test, trunkline_loom, feature = "sqlite"))]
pub(crate) use model::{Condvar, oneshot};
#[cfg(all(feature = "sqlite", not(all(test, trunkline_loom))))]
pub(crate) use std::sync::Condvar;
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(all(feature = "sqlite", not(all(test, trunkline_loom))))]
pub(crate) use tokio::sync::oneshot;

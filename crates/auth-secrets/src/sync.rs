//! What cache and signers are synchronised with: the real things, or loom's in a build with `--cfg trunkline_loom`, whose tests see every
//! interleaving of them.

#[cfg(test)]
#[cfg(trunkline_loom)]
pub(crate) mod model;
#[cfg(not(all(test, trunkline_loom)))]
mod real;

#[cfg(all(test, trunkline_loom))]
pub(crate) use self::model::{
    AbortHandle, ArcSwapOption, AtomicBool, AtomicU64, Handle, Land, Landed, Mutex, MutexGuard, Ordering,
    landing,
};
#[cfg(not(all(test, trunkline_loom)))]
pub(crate) use self::real::{
    AbortHandle, ArcSwapOption, AtomicBool, AtomicU64, Handle, Land, Landed, Mutex, MutexGuard, Ordering,
    landing,
};

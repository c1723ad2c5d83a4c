//! What ships.

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;

pub(crate) use arc_swap::ArcSwapOption;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::task::AbortHandle;

/// Tells all clones of its [`Landed`] one value.
pub(crate) type Land<T> = oneshot::Sender<T>;

/// Waits for that value, in the order in which its clones came.
pub(crate) type Landed<T> = Shared<oneshot::Receiver<T>>;

pub(crate) fn landing<T: Clone>() -> (Land<T>, Landed<T>) {
    let (land, landed) = oneshot::channel();
    (land, landed.shared())
}

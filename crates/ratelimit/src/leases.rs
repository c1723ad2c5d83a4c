//! Counted leases in one process.

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod table;
mod waiting;

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use trunkline_core_types::{BoxFuture, Clock, Denied, Leases};

use self::table::Table;
use self::waiting::Taking;
use crate::sync::{Mutex, MutexGuard};

/// Leases of one process: at most so many at once, each with an end of its own.
///
/// A holder has one lease by its name; taking it again renews it at once, whoever waits. Free leases go to those who wait in the order in which
/// they came. A lease whose time is over is free as soon as somebody looks, and whoever waits first looks when the next one ends. A future that waits and
/// is not polled keeps those behind it waiting, until their deadlines at most: poll it or drop it. A time to live
/// of zero takes nothing. Nothing outlives the process and no task is spawned. `Debug` shows counts, never a holder's name.
///
/// ```
/// # use std::{num::NonZeroU32, sync::Arc, time::Duration};
/// # use trunkline_core_types::{Clock, Leases, SystemClock};
/// # use trunkline_ratelimit::LocalLeases;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), trunkline_core_types::Denied> {
/// let clock = SystemClock::new();
/// let lines = LocalLeases::new(NonZeroU32::MIN, Arc::new(clock));
/// let (soon, ttl) = (clock.now() + Duration::from_secs(1), Duration::from_secs(60));
/// lines.take("first", soon, ttl).await?;
/// let refused = lines.take("second", soon, ttl).await.unwrap_err();
/// assert_eq!(refused.wait, Some(Duration::from_secs(59)));
/// lines.release("first");
/// lines.take("second", soon, ttl).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalLeases {
    inner: Arc<Inner>,
}

struct Inner {
    table: Mutex<Table>,
    clock: Arc<dyn Clock>,
    origin: Instant,
}

impl LocalLeases {
    /// How many may wait by default: 1,024.
    pub const QUEUE: usize = 1_024;

    /// The longest time to live: one day. A longer one is cut to it.
    pub const MAX_TTL: Duration = Duration::from_secs(86_400);

    /// At most `capacity` leases at once, and at most [`QUEUE`](Self::QUEUE) waiters.
    pub fn new(capacity: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        Self::with_queue(capacity, Self::QUEUE, clock)
    }

    /// At most `capacity` leases at once, and at most `queue` waiters; with 0 nobody waits.
    pub fn with_queue(capacity: NonZeroU32, queue: usize, clock: Arc<dyn Clock>) -> Self {
        let table = Mutex::new(Table::new(capacity.get() as usize, queue));
        Self { inner: Arc::new(Inner { table, origin: clock.now(), clock }) }
    }

    /// Leases that are held now.
    pub fn held(&self) -> usize {
        let now = self.inner.now();
        self.inner.table().held(now)
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.inner.table().waiting()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Leases for LocalLeases {
    fn take<'a>(
        &'a self,
        holder: &'a str,
        deadline: Instant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Denied>> {
        Box::pin(Taking::new(&self.inner, holder, deadline, ttl.min(Self::MAX_TTL)))
    }

    fn release(&self, holder: &str) {
        let next = self.inner.table().release(holder);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl std::fmt::Debug for LocalLeases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.inner.table();
        f.debug_struct("LocalLeases").field("table", &*table).finish_non_exhaustive()
    }
}

impl Inner {
    /// Every change of the table is complete before anything that could panic, so a poisoned lock is no reason to stop.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.since_origin(self.clock.now())
    }

    fn since_origin(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

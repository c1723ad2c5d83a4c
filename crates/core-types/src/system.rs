//! The machine's clock and random numbers: the one place that reads them. Needs a tokio runtime to sleep.

use std::time::{Instant, SystemTime};

use crate::{BoxFuture, Clock, Entropy};

/// The machine's clock over tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock {}

impl SystemClock {
    /// The clock; it holds nothing.
    pub fn new() -> Self {
        Self {}
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the implementation of the seam")]
    fn now(&self) -> Instant {
        // tokio's, so that a paused runtime pauses this too.
        tokio::time::Instant::now().into_std()
    }

    #[expect(clippy::disallowed_methods, reason = "the implementation of the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the implementation of the seam")]
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemEntropy {}

impl SystemEntropy {
    /// The source; it holds nothing.
    pub fn new() -> Self {
        Self {}
    }
}

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        // A machine without random numbers still jitters: a new RandomState is seeded differently each time.
        getrandom::u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(0u8)
        })
    }

    fn next_pair(&self) -> [u64; 2] {
        let mut bytes = [0; 16];
        // Asking the system once costs half of asking it twice.
        match getrandom::fill(&mut bytes) {
            Ok(()) => {
                let both = u128::from_ne_bytes(bytes);
                [(both >> 64) as u64, both as u64]
            }
            Err(_) => [self.next(), self.next()],
        }
    }
}

/// Virtual time of a paused tokio runtime, with a wall clock that moves along from a fixed date.
///
/// Only in tests: use it inside `#[tokio::test(start_paused = true)]`.
#[cfg(feature = "test-util")]
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    started: Instant,
    wall: SystemTime,
}

#[cfg(feature = "test-util")]
impl VirtualClock {
    /// A clock whose wall time is 2026-01-01T00:00:00Z now and moves with the runtime's paused time.
    pub fn new() -> Self {
        let epoch_2026 = std::time::Duration::from_secs(1_767_225_600);
        Self { started: SystemClock::new().now(), wall: SystemTime::UNIX_EPOCH + epoch_2026 }
    }

    /// How long this clock has been running.
    pub fn since_start(&self) -> std::time::Duration {
        self.now().saturating_duration_since(self.started)
    }
}

#[cfg(feature = "test-util")]
impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "test-util")]
impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        SystemClock::new().now()
    }

    fn wall(&self) -> SystemTime {
        self.wall + self.since_start()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        SystemClock::new().sleep_until(at)
    }
}

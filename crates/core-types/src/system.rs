//! The machine's clock and random numbers: the one place that reads them. Needs a tokio runtime to sleep.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

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
///
/// [`Entropy::next_pair`] asks it for sixteen pairs at once. They are one source's own and kept for a millisecond, since a copy of the
/// process (fork, snapshot) would give them out again: let each process make its own source, and client.
#[derive(Default)]
pub struct SystemEntropy {
    ahead: Mutex<Ahead>,
}

impl SystemEntropy {
    /// A source; it has asked for nothing yet.
    pub fn new() -> Self {
        Self::default()
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
        // A pair is wiped before it is given out, so a poisoned lock still guards unused ones.
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = ahead.next(SystemClock::new().now(), |bytes| getrandom::fill(bytes).ok());
        drop(ahead);
        match pair.map(u128::from_ne_bytes) {
            Some(both) => [(both >> 64) as u64, both as u64],
            None => [self.next(), self.next()],
        }
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is to be a key.
        f.debug_struct("SystemEntropy").finish_non_exhaustive()
    }
}

/// Pairs drawn and not given out: asking the system for each is the dearest step of a call beside its socket.
#[derive(Default)]
struct Ahead {
    pairs: [[u8; 16]; 16],
    left: usize,
    drawn: Option<Instant>,
}

impl Ahead {
    /// No longer than a call is under way: whoever copies the process then copies a call half-way too.
    const KEPT: Duration = Duration::from_millis(1);

    /// The next pair, given out once; `None` if `draw` had none.
    fn next(&mut self, now: Instant, draw: impl FnOnce(&mut [u8]) -> Option<()>) -> Option<[u8; 16]> {
        let age = self.drawn.and_then(|drawn| now.checked_duration_since(drawn));
        if self.left == 0 || age.is_none_or(|age| age >= Self::KEPT) {
            self.left = 0;
            draw(self.pairs.as_flattened_mut())?;
            (self.left, self.drawn) = (self.pairs.len(), Some(now));
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.pairs[self.left]))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    /// Counts up through all draws, so that no two pairs are the same.
    struct Draws(u16);

    impl Draws {
        fn next(&mut self, ahead: &mut Ahead, now: Instant) -> [u8; 16] {
            let draw = |bytes: &mut [u8]| {
                bytes.fill_with(|| {
                    self.0 += 1;
                    (self.0 / 2) as u8
                });
                Some(())
            };
            ahead.next(now, draw).unwrap()
        }
    }

    #[test]
    fn a_pair_is_given_out_once_and_wiped() {
        let (mut ahead, mut draws, now) = (Ahead::default(), Draws(0), SystemClock::new().now());
        let given: HashSet<_> = (0..16).map(|_| draws.next(&mut ahead, now)).collect();
        assert_eq!((given.len(), draws.0, ahead.pairs), (16, 256, [[0; 16]; 16]));
        assert_eq!(ahead.next(now, |_| None), None, "none is left and none can be had");
    }

    #[test]
    fn what_is_a_millisecond_old_is_not_given_out() {
        let (mut ahead, mut draws, now) = (Ahead::default(), Draws(0), SystemClock::new().now());
        draws.next(&mut ahead, now);
        draws.next(&mut ahead, now + Duration::from_micros(999));
        assert_eq!(draws.0, 256);
        // A failed draw leaves nothing of before.
        assert_eq!(ahead.next(now + Ahead::KEPT, |_| None), None);
        assert_eq!(ahead.left, 0);
        ahead = Ahead::default();
        draws = Draws(0);
        draws.next(&mut ahead, now + Ahead::KEPT);
        // Nor is anything to a clock that went back.
        assert_eq!(ahead.next(now, |_| None), None);
    }

    #[test]
    fn no_two_threads_and_sources_get_the_same() {
        let (shared, own) = (SystemEntropy::new(), SystemEntropy::new());
        let pairs = |entropy: &SystemEntropy| (0..1000).map(|_| entropy.next_pair()).collect::<Vec<_>>();
        let all: Vec<_> = thread::scope(|scope| {
            let drawers: Vec<_> =
                [&shared, &shared, &shared, &own].map(|it| scope.spawn(|| pairs(it))).into();
            drawers.into_iter().flat_map(|drawer| drawer.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4000);
        assert!(!format!("{shared:?}").contains(char::is_numeric));
    }
}

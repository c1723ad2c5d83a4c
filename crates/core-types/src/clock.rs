//! Time and randomness as seams: whoever waits, expires or jitters is handed both.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Instant, SystemTime};

use crate::BoxFuture;

/// Where a component takes the time from, so that tests run in virtual time.
///
/// `now` is monotonic and orders everything inside the process; `wall` is for what leaves it (fences, expiry dates).
pub trait Clock: Debug + Send + Sync + 'static {
    /// The monotonic time.
    fn now(&self) -> Instant;

    /// The time of day. It may jump; nothing inside the process is ordered by it.
    fn wall(&self) -> SystemTime;

    /// Completes at `at`, or at once if that has passed. Resolution: one millisecond with the system's clock.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}

/// Waits with an end, over any [`Clock`].
pub trait ClockExt: Clock {
    /// Polls `work` until it is done or `until` has passed; `None` then, with `work` dropped. Work that is ready at once costs no timer;
    /// after `until` nothing is started.
    fn bounded<F: Future + Send>(
        &self,
        until: Instant,
        work: F,
    ) -> impl Future<Output = Option<F::Output>> + Send {
        async move { self.bounded_at(self.now(), until, work).await }
    }

    /// The same for a caller that has just read the clock: `now` is what it said.
    fn bounded_at<F: Future + Send>(
        &self,
        now: Instant,
        until: Instant,
        work: F,
    ) -> impl Future<Output = Option<F::Output>> + Send {
        async move {
            if now >= until {
                return None;
            }
            let (mut work, mut timer) = (pin!(work), None);
            poll_fn(|cx| {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                let timer = timer.get_or_insert_with(|| self.sleep_until(until));
                timer.as_mut().poll(cx).map(|()| None)
            })
            .await
        }
    }
}

impl<T: Clock + ?Sized> ClockExt for T {}

/// Random numbers, injected so that a seed replays a run.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// The next 64 random bits.
    fn next(&self) -> u64;

    /// The next 128, for a fresh key. Default: `next` twice.
    fn next_pair(&self) -> [u64; 2] {
        [self.next(), self.next()]
    }
}

/// Convenience draws over any [`Entropy`].
pub trait EntropyExt: Entropy {
    /// A uniform fraction in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias is below 2⁻³² for bounds below 2³².
    fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

impl<T: Entropy + ?Sized> EntropyExt for T {}

/// Repeatable random numbers from a seed (SplitMix64): for tests, simulation and `--seed`, never for keys.
///
/// ```
/// # use trunkline_core_types::{Entropy, SeededEntropy};
/// assert_eq!(SeededEntropy::new(7).next(), SeededEntropy::new(7).next());
/// ```
#[derive(Debug)]
pub struct SeededEntropy(std::sync::atomic::AtomicU64);

impl SeededEntropy {
    /// A source that yields the same sequence for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(GAMMA, std::sync::atomic::Ordering::Relaxed).wrapping_add(GAMMA);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splitmix_matches_its_published_sequence() {
        // The reference implementation by Vigna, seed 1234567.
        let source = SeededEntropy::new(1_234_567);
        assert_eq!(source.next(), 6_457_827_717_110_365_317);
        assert_eq!(source.next(), 3_203_168_211_198_807_973);
    }

    proptest! {
        #[test]
        fn below_stays_below(seed: u64, bound in 1u64..) {
            prop_assert!(SeededEntropy::new(seed).below(bound) < bound);
        }

        #[test]
        fn fraction_is_a_fraction(seed: u64) {
            let f = SeededEntropy::new(seed).fraction();
            prop_assert!((0.0..1.0).contains(&f));
        }
    }
}

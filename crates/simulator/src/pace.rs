//! The granted rate as a closed window over the last second: what arrives above it is refused and noted.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Arrivals admitted in the last second. Holds at most `limit` instants.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u64,
    admitted: VecDeque<Instant>,
}

impl Window {
    /// A window that admits `floor((1 s + tolerance) * rate) + 1` creates in any closed second.
    pub(crate) fn new(rate: NonZeroU32, tolerance: Duration) -> Self {
        let span = WINDOW.saturating_add(tolerance).as_nanos();
        let served = span.saturating_mul(u128::from(rate.get())) / WINDOW.as_nanos();
        Self { limit: u64::try_from(served).unwrap_or(u64::MAX).saturating_add(1), admitted: VecDeque::new() }
    }

    /// Admits an arrival or says how long the window stays full. A refused arrival takes no room.
    pub(crate) fn admit(&mut self, at: Instant) -> Result<(), Duration> {
        // Connections race between the clock and the lock; the window's own time never goes back.
        let at = self.admitted.back().map_or(at, |last| at.max(*last));
        while self.admitted.front().is_some_and(|first| at.duration_since(*first) > WINDOW) {
            self.admitted.pop_front();
        }
        match self.admitted.front() {
            Some(first) if self.admitted.len() as u64 >= self.limit => {
                Err((WINDOW + Duration::from_nanos(1)).saturating_sub(at.duration_since(*first)))
            }
            _ => {
                self.admitted.push_back(at);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trunkline_core_types::{Clock, SystemClock};

    fn window(rate: u32, tolerance_ms: u64) -> Window {
        Window::new(NonZeroU32::new(rate).unwrap(), Duration::from_millis(tolerance_ms))
    }

    #[test]
    fn the_limit_is_the_floor_plus_one() {
        assert_eq!(window(50, 150).limit, 58);
        assert_eq!(window(1, 0).limit, 2);
        assert_eq!(window(3, 999).limit, 6);
        assert_eq!(window(u32::MAX, 0).limit, u64::from(u32::MAX) + 1);
    }

    #[test]
    fn the_window_is_closed_and_frees_one_nanosecond_later() {
        let start = SystemClock::new().now();
        let mut window = window(1, 0);
        assert_eq!(window.admit(start), Ok(()));
        assert_eq!(window.admit(start), Ok(()));
        assert_eq!(window.admit(start + WINDOW), Err(Duration::from_nanos(1)));
        assert_eq!(window.admit(start + WINDOW + Duration::from_nanos(1)), Ok(()));
    }

    #[test]
    fn an_even_pace_is_never_over() {
        let start = SystemClock::new().now();
        let mut window = window(50, 0);
        for n in 0..500 {
            assert_eq!(window.admit(start + Duration::from_millis(20) * n), Ok(()), "create {n}");
        }
    }

    proptest! {
        #[test]
        fn no_closed_second_holds_more_than_the_limit(
            rate in 1u32..40,
            tolerance in 0u64..500,
            gaps in proptest::collection::vec(0u64..200, 1..200),
        ) {
            let mut window = window(rate, tolerance);
            let limit = window.limit as usize;
            let mut at = SystemClock::new().now();
            let mut admitted = Vec::new();
            for gap in gaps {
                at += Duration::from_millis(gap);
                let full = admitted.iter().filter(|t| at.duration_since(**t) <= WINDOW).count() >= limit;
                let answer = window.admit(at);
                prop_assert_eq!(answer.is_err(), full);
                if answer.is_ok() {
                    admitted.push(at);
                }
                prop_assert!(window.admitted.len() <= limit);
            }
        }

        #[test]
        fn the_wait_is_exact(rate in 1u32..10, offset in 0u64..1000) {
            let mut window = window(rate, 0);
            let mut at = SystemClock::new().now();
            while window.admit(at).is_ok() {}
            at += Duration::from_millis(offset);
            let wait = window.admit(at).unwrap_err();
            prop_assert!(window.admit(at + wait - Duration::from_nanos(1)).is_err());
            prop_assert!(window.admit(at + wait).is_ok());
        }
    }
}

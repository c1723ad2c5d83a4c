//! Slower while the far side queues too long, and back up by steps: pure over the time it is handed.

use std::time::Duration;

use trunkline_core_types::Rate;

const SECOND: u64 = 1_000_000_000;
/// A slow-down takes the share to three quarters, and never below this.
const LEAST: u32 = 10;
/// A step back up, and the time between two.
const STEP: u32 = 10;
const PAUSE: u64 = 10 * SECOND;

/// What share of the pace is used. Times are nanoseconds from the pacer's origin.
#[derive(Debug)]
pub(super) struct Slowdown {
    bound: Duration,
    pace: Rate,
    percent: u32,
    /// Signals until here are of the same queue that was slowed down for already.
    held_until: u64,
    /// The last step back up, or the last sign of a queue.
    since: u64,
}

impl Slowdown {
    pub(super) fn new(bound: Duration, pace: Rate) -> Self {
        Self { bound, pace, percent: 100, held_until: 0, since: 0 }
    }

    pub(super) fn percent(&self) -> u32 {
        self.percent
    }

    /// The rate at the present share. One that would be slower than any rate can be stays at the pace.
    pub(super) fn rate(&self) -> Rate {
        Rate::new(self.pace.count(), self.pace.period() * 100 / self.percent).unwrap_or(self.pace)
    }

    /// Another pace at the same share.
    pub(super) fn set_pace(&mut self, pace: Rate) -> Rate {
        self.pace = pace;
        self.rate()
    }

    /// A start waited so long in the far queue. Whether the share changed: at most once in the time that the queue needs to drain, from a
    /// second to a minute.
    pub(super) fn queued(&mut self, now: u64, waited: Duration) -> bool {
        if waited <= self.bound {
            return false;
        }
        self.since = self.since.max(now);
        if now < self.held_until {
            return false;
        }
        let hold = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX).clamp(SECOND, 60 * SECOND);
        self.held_until = now.saturating_add(hold);
        let before = self.percent;
        self.percent = (self.percent * 3 / 4).max(LEAST);
        self.percent != before
    }

    /// Time passed without a sign of a queue. Whether the share changed.
    pub(super) fn recover(&mut self, now: u64) -> bool {
        let steps = now.saturating_sub(self.since) / PAUSE;
        if self.percent == 100 || steps == 0 {
            return false;
        }
        self.since += steps * PAUSE;
        let more = u32::try_from(steps).unwrap_or(u32::MAX).saturating_mul(STEP);
        self.percent = self.percent.saturating_add(more).min(100);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    const BOUND: Duration = Duration::from_secs(2);

    fn pace(per_second: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).unwrap())
    }

    #[test]
    fn one_queue_slows_down_once_and_time_takes_it_back_by_steps() {
        let mut slow = Slowdown::new(BOUND, pace(20));
        assert!(!slow.queued(0, BOUND), "the bound itself is fine");
        assert!(slow.queued(0, 5 * BOUND));
        assert_eq!((slow.percent(), slow.rate().interval()), (75, Duration::from_nanos(66_666_667)));
        for second in 1..10 {
            assert!(!slow.queued(second * SECOND, 5 * BOUND), "the same queue, {second}");
        }
        assert!(slow.queued(10 * SECOND, BOUND + Duration::from_nanos(1)));
        assert_eq!(slow.percent(), 56);
        assert!(!slow.recover(20 * SECOND - 1) && slow.recover(20 * SECOND));
        assert_eq!(slow.percent(), 66);
        assert!(slow.recover(1_000 * SECOND) && !slow.recover(2_000 * SECOND));
        assert_eq!((slow.percent(), slow.rate().interval()), (100, pace(20).interval()));
    }

    #[test]
    fn another_pace_keeps_the_share() {
        let mut slow = Slowdown::new(BOUND, pace(20));
        assert!(slow.queued(0, 2 * BOUND));
        assert_eq!(slow.set_pace(pace(3)).interval(), Duration::from_nanos(444_444_445));
    }

    proptest! {
        #[test]
        fn the_share_stays_within_its_bounds(
            signals in proptest::collection::vec((0u64..100 * SECOND, 0u64..300_000), 1..100),
        ) {
            let (mut slow, mut now) = (Slowdown::new(BOUND, pace(7)), 0u64);
            for (pause, waited) in signals {
                now += pause;
                slow.recover(now);
                let before = slow.percent();
                let changed = slow.queued(now, Duration::from_millis(waited));
                prop_assert!((LEAST..=100).contains(&slow.percent()));
                prop_assert!(!changed || slow.percent() < before);
                prop_assert!(slow.rate().interval() >= pace(7).interval());
            }
        }
    }
}

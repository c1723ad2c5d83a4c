//! The pace as integer arithmetic: one moment of state, every time an argument.

use std::num::NonZeroU32;
use std::time::Duration;

use trunkline_core_types::Rate;

/// What a [`Gcra`] says to one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Taken now.
    Allow(Grant),
    /// Not now; the same request is allowed after exactly this wait if nobody else takes anything meanwhile. Never zero.
    Wait(Duration),
    /// More cells than the burst: no waiting helps.
    Never,
}

/// Cells that were taken: the key to giving them back once.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    slot: u64,
    full_at: u128,
    debt: u128,
    epoch: u64,
}

impl Grant {
    /// The moment the cells were taken for, in nanoseconds from the caller's origin.
    pub fn slot(&self) -> u64 {
        self.slot
    }
}

/// A generic cell rate algorithm (GCRA), the integer form of a token bucket: `burst` cells, one new cell per interval.
///
/// It reads no clock: moments are nanoseconds from an origin that the caller chooses, and one limiter knows only one origin.
/// In any closed window of length `W` it takes at most `burst + floor(W / interval)` cells. A new limiter has all its cells.
/// A clock that steps back by `d` delays the next cell by up to `d` and never yields more.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use trunkline_core_types::Rate;
/// use trunkline_ratelimit::{Decision, Gcra};
///
/// let ten = NonZeroU32::new(10).unwrap();
/// let mut pace = Gcra::new(Rate::per_second(ten), NonZeroU32::MIN);
/// assert!(matches!(pace.take(0, 1), Decision::Allow(_)));
/// assert_eq!(pace.take(40_000_000, 1), Decision::Wait(Duration::from_millis(60)));
/// assert_eq!(pace.take(40_000_000, 2), Decision::Never);
/// ```
#[derive(Debug, Clone)]
pub struct Gcra {
    interval: u64,
    burst: u32,
    /// The theoretical arrival time. Wide, so that no burst times interval can overflow it.
    full_at: u128,
    not_before: u64,
    epoch: u64,
}

impl Gcra {
    /// A limiter with all `burst` cells and one new cell every [`Rate::interval`].
    pub fn new(rate: Rate, burst: NonZeroU32) -> Self {
        Self { interval: interval_of(rate), burst: burst.get(), full_at: 0, not_before: 0, epoch: 0 }
    }

    /// Takes `cells` at `now`, or says how long to wait. A refusal changes nothing.
    pub fn take(&mut self, now: u64, cells: u32) -> Decision {
        match self.slot(now, 0, cells) {
            None => Decision::Never,
            Some(slot) if slot > now => Decision::Wait(Duration::from_nanos(slot - now)),
            Some(slot) => Decision::Allow(self.book(slot, cells)),
        }
    }

    /// Takes `cells` at the first moment from `now` on that the pace allows, which may lie ahead; the caller starts then.
    ///
    /// `None` if `cells` is above the burst. A reserved moment does not hear of a later pause or rate: reserve little.
    pub fn reserve(&mut self, now: u64, cells: u32) -> Option<Grant> {
        let slot = self.slot(now, 0, cells)?;
        Some(self.book(slot, cells))
    }

    /// The first moment from `now` on at which `cells` could be taken once `ahead` other cells were. Changes nothing.
    ///
    /// `None` if `cells` is above the burst. Exact if those ahead are served as early as the pace allows.
    pub fn slot(&self, now: u64, ahead: u64, cells: u32) -> Option<u64> {
        if cells > self.burst {
            return None;
        }
        let from = now.max(self.not_before);
        let full_at = self.full_at.max(u128::from(from)) + self.cost(u128::from(ahead) + u128::from(cells));
        let at = full_at.saturating_sub(self.cost(u128::from(self.burst)));
        Some(from.max(u64::try_from(at).unwrap_or(u64::MAX)))
    }

    /// Gives cells back, if nothing was taken and no rate was changed since; says whether it could.
    ///
    /// Otherwise they are lost: unused rate, never a start too many.
    pub fn refund(&mut self, grant: Grant) -> bool {
        let unchanged = self.epoch == grant.epoch && self.full_at == grant.full_at;
        if unchanged {
            self.full_at -= grant.debt;
        }
        unchanged
    }

    /// Nothing is taken before `at`. An earlier end than the present one changes nothing.
    pub fn pause_until(&mut self, at: u64) {
        self.not_before = self.not_before.max(at);
    }

    /// Another rate from `now` on. What was taken stays taken: the debt is kept in cells, rounded up, at most `burst`.
    pub fn set_rate(&mut self, now: u64, rate: Rate) {
        let interval = interval_of(rate);
        let debt = self.full_at.saturating_sub(u128::from(now));
        let debt = (debt * u128::from(interval)).div_ceil(u128::from(self.interval));
        self.interval = interval;
        self.full_at = u128::from(now) + debt.min(self.cost(u128::from(self.burst)));
        self.epoch += 1;
    }

    /// Whole cells that could be taken at `now`; a pause is not counted.
    pub fn remaining(&self, now: u64) -> u32 {
        let debt = self.full_at.saturating_sub(u128::from(now)).div_ceil(u128::from(self.interval));
        u32::try_from(u128::from(self.burst).saturating_sub(debt)).unwrap_or(u32::MAX)
    }

    /// The moment from which all cells are there again. It lies in the past if they are.
    pub fn full_at(&self) -> u64 {
        u64::try_from(self.full_at).unwrap_or(u64::MAX)
    }

    /// The end of the last pause; in the past if there is none now.
    pub fn paused_until(&self) -> u64 {
        self.not_before
    }

    /// Time from one new cell to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    fn book(&mut self, slot: u64, cells: u32) -> Grant {
        let debt = self.cost(u128::from(cells));
        self.full_at = self.full_at.max(u128::from(slot)) + debt;
        Grant { slot, full_at: self.full_at, debt, epoch: self.epoch }
    }

    fn cost(&self, cells: u128) -> u128 {
        cells * u128::from(self.interval)
    }
}

fn interval_of(rate: Rate) -> u64 {
    // At most a day: 47 bits.
    rate.interval().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gcra(interval: u64, burst: u32) -> Gcra {
        let rate = Rate::new(NonZeroU32::MIN, Duration::from_nanos(interval)).unwrap();
        Gcra::new(rate, NonZeroU32::new(burst).unwrap())
    }

    /// A token bucket in exact fractions: tokens are counted in units of one interval-th.
    struct Bucket {
        parts: u128,
        interval: u128,
        burst: u128,
        at: u64,
    }

    impl Bucket {
        fn refill(&mut self, now: u64) {
            let cap = self.burst * self.interval;
            self.parts = cap.min(self.parts + u128::from(now - self.at));
            self.at = now;
        }

        /// `None`, or what is still missing.
        fn take(&mut self, cells: u32) -> Option<u128> {
            let want = u128::from(cells) * self.interval;
            if want <= self.parts {
                self.parts -= want;
                return None;
            }
            Some(want - self.parts)
        }
    }

    proptest! {
        #[test]
        fn decides_like_an_exact_token_bucket(
            interval in 1u64..5_000,
            burst in 1u32..6,
            steps in prop::collection::vec((0u64..9_000, 1u32..6), 1..200),
        ) {
            let mut pace = gcra(interval, burst);
            let (interval, burst) = (u128::from(interval), u128::from(burst));
            let mut bucket = Bucket { parts: burst * interval, interval, burst, at: 0 };
            let mut now = 0;
            for (pause, cells) in steps {
                now += pause;
                bucket.refill(now);
                match pace.take(now, cells) {
                    Decision::Never => prop_assert!(u128::from(cells) > burst),
                    Decision::Allow(grant) => {
                        prop_assert_eq!(grant.slot(), now);
                        prop_assert_eq!(bucket.take(cells), None);
                    }
                    Decision::Wait(wait) => prop_assert_eq!(bucket.take(cells), Some(wait.as_nanos())),
                }
                prop_assert_eq!(u128::from(pace.remaining(now)), bucket.parts / interval);
            }
        }

        #[test]
        fn no_closed_window_holds_more_than_the_bound(
            interval in 1u64..1_000,
            burst in 1u32..6,
            pauses in prop::collection::vec(0u64..1_500, 1..120),
        ) {
            let mut pace = gcra(interval, burst);
            let mut now = 0;
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause;
                if let Decision::Allow(grant) = pace.take(now, 1) {
                    taken.push(grant.slot());
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    prop_assert!((j - i + 1) as u64 <= u64::from(burst) + (to - from) / interval);
                }
            }
        }

        #[test]
        fn those_ahead_are_counted_exactly(
            interval in 1u64..1_000,
            burst in 2u32..6,
            debt in 0u32..3,
            pause in 0u64..3_000,
            ahead in prop::collection::vec(1u32..3, 0..8),
        ) {
            let mut pace = gcra(interval, burst);
            if debt > 0 {
                pace.reserve(0, debt.min(burst));
            }
            pace.pause_until(pause);
            let told = pace.slot(5, ahead.iter().map(|n| u64::from(*n)).sum(), 1);
            for cells in ahead {
                pace.reserve(5, cells);
            }
            prop_assert_eq!(told, pace.slot(5, 0, 1));
        }

        #[test]
        fn nothing_overflows(interval in 1u64..=86_400_000_000_000, burst in 1u32.., cells: u32, now: u64) {
            let mut pace = gcra(interval, burst);
            for _ in 0..3 {
                pace.reserve(now, cells);
            }
            pace.set_rate(now, Rate::new(NonZeroU32::MIN, Rate::MAX_PERIOD).unwrap());
            prop_assert!(pace.remaining(now) <= burst);
        }
    }

    #[test]
    fn a_refund_works_once_and_only_while_nothing_was_taken_since() {
        let mut pace = gcra(100, 2);
        let Decision::Allow(first) = pace.take(0, 1) else { panic!("full") };
        let Decision::Allow(second) = pace.take(0, 1) else { panic!("one left") };
        assert!(!pace.refund(first));
        assert_eq!(pace.take(0, 1), Decision::Wait(Duration::from_nanos(100)));
        assert!(pace.refund(second));
        assert!(matches!(pace.take(0, 1), Decision::Allow(_)));
    }

    #[test]
    fn a_rate_change_keeps_the_debt_in_cells_and_ends_refunds() {
        let mut pace = gcra(100, 4);
        let Decision::Allow(grant) = pace.take(0, 4) else { panic!("full") };
        pace.set_rate(50, Rate::new(NonZeroU32::MIN, Duration::from_nanos(10)).unwrap());
        // 3.5 cells of debt, 10 ns each.
        assert_eq!(pace.full_at(), 50 + 35);
        assert!(!pace.refund(grant));
        assert_eq!(pace.remaining(50), 0);
        assert_eq!(pace.remaining(55), 1);
    }

    #[test]
    fn the_later_pause_wins_and_the_pace_goes_on_after_it() {
        let mut pace = gcra(100, 1);
        pace.pause_until(1_000);
        pace.pause_until(500);
        assert_eq!(pace.take(200, 1), Decision::Wait(Duration::from_nanos(800)));
        assert!(matches!(pace.take(1_000, 1), Decision::Allow(_)));
        assert_eq!(pace.take(1_001, 1), Decision::Wait(Duration::from_nanos(99)));
    }
}

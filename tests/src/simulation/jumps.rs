//! What changes under a client that runs: its wall clock steps back and forth, and its pace is set anew.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkline_core_types::{BoxFuture, Clock, EntropyExt, SeededEntropy, VirtualClock};

/// When the client's wall clock steps, and how far off it is after each step, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Jumps(Vec<(Duration, i64)>);

impl Jumps {
    /// None, or up to four within `length`, by up to ten minutes.
    pub(super) fn draw(entropy: &SeededEntropy, length: Duration) -> Self {
        let count = [0, 0, 1, 4][entropy.below(4) as usize];
        let mut steps: Vec<_> = (0..count)
            .map(|_| {
                let off = entropy.below(1_200).cast_signed() - 600;
                (length.mul_f64(entropy.fraction()), off)
            })
            .collect();
        steps.sort();
        Self(steps)
    }

    /// Keeps the steps of these numbers.
    pub(super) fn retain(&mut self, keeps: impl FnMut(usize) -> bool) {
        let mut kept = (0..self.0.len()).map(keeps).collect::<Vec<_>>().into_iter();
        self.0.retain(|_| kept.next() == Some(true));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn off(&self, since: Duration) -> i64 {
        self.0.iter().rev().find(|(at, _)| *at <= since).map_or(0, |(_, off)| *off)
    }
}

/// The client's clock. The provider's is the [`VirtualClock`] under it.
#[derive(Debug)]
pub(super) struct JumpyClock {
    inner: Arc<VirtualClock>,
    jumps: Jumps,
}

impl JumpyClock {
    pub(super) fn new(inner: Arc<VirtualClock>, jumps: Jumps) -> Self {
        Self { inner, jumps }
    }
}

impl Clock for JumpyClock {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> SystemTime {
        let off = self.jumps.off(self.inner.since_start());
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 { self.inner.wall() - by } else { self.inner.wall() + by }
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(at)
    }
}

/// The pace at which an account begins, and the paces that are set while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paces(Vec<(Duration, NonZeroU32)>);

impl Paces {
    /// `first` a second, and up to three others within `length`.
    pub(super) fn draw(entropy: &SeededEntropy, first: NonZeroU32, length: Duration) -> Self {
        let count = [0, 0, 1, 3][entropy.below(4) as usize];
        let choices = [1, 2, 5, 20, 50];
        let pace = |_| {
            let pace = choices[entropy.below(choices.len() as u64) as usize];
            (length.mul_f64(entropy.fraction()), NonZeroU32::MIN.saturating_add(pace - 1))
        };
        let mut changes: Vec<_> = (0..count).map(pace).collect();
        changes.sort();
        Self([vec![(Duration::ZERO, first)], changes].concat())
    }

    /// Keeps the changes of these numbers, from 1.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        let mut kept =
            (0..self.0.len()).map(|number| number == 0 || keeps(number)).collect::<Vec<_>>().into_iter();
        self.0.retain(|_| kept.next() == Some(true));
    }

    /// Every pace with when it begins.
    pub(super) fn all(&self) -> &[(Duration, NonZeroU32)] {
        &self.0
    }
}

/// The bound on starts, as a schedule: nobody starts more than the tolerance before the slot after the last one. While the pace
/// changes, windows on one side have their own interval, and those across have the shortest.
#[derive(Debug)]
pub(super) struct Schedule {
    paces: Paces,
    tolerance: Duration,
    across: Duration,
    within: Duration,
    /// The pace that was set last, and the one a tolerance ago.
    segment: (usize, usize),
}

impl Schedule {
    pub(super) fn new(paces: Paces, tolerance: Duration) -> Self {
        Self { paces, tolerance, across: Duration::ZERO, within: Duration::ZERO, segment: (0, 0) }
    }

    fn begun(&self, at: Duration) -> usize {
        self.paces.all().iter().rposition(|(from, _)| *from <= at).unwrap_or_default()
    }

    /// A start at this time; whether it is above the bound.
    pub(super) fn starts(&mut self, at: Duration) -> bool {
        let all = self.paces.all();
        let (set, over) = (self.begun(at), self.begun(at.saturating_sub(self.tolerance)));
        if (set, over) != self.segment {
            (self.segment, self.within) = ((set, over), at);
        }
        let interval = |number: usize| Duration::from_secs(1) / all[number].1.get();
        // A permit that was out at a change keeps its time, so for a tolerance both paces hold.
        let own = interval(set).min(interval(over));
        let shortest = (0..all.len()).map(interval).min().unwrap_or(own);
        let above = at + self.tolerance < self.within.max(self.across);
        self.within = self.within.max(at) + own;
        self.across = self.across.max(at) + shortest;
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_steps_and_monotonic_time_goes_on() {
        let inner = Arc::new(VirtualClock::new());
        let second = Duration::from_secs(1);
        let jumps = Jumps(vec![(10 * second, 300), (20 * second, -60)]);
        let (clock, from, began) = (JumpyClock::new(inner.clone(), jumps), inner.wall(), inner.now());
        for (at, wall) in [(9, 9), (10, 310), (19, 319)] {
            clock.sleep_until(began + at * second).await;
            assert_eq!((clock.now() - began, clock.wall()), (at * second, from + wall * second));
        }
        clock.sleep_until(began + 20 * second).await;
        assert_eq!(clock.wall(), from - 40 * second);
    }

    #[test]
    fn a_start_too_soon_is_found_on_either_side_of_a_change() {
        let millis = Duration::from_millis;
        let pace = |pace| NonZeroU32::new(pace).unwrap();
        let paces = Paces(vec![(Duration::ZERO, pace(10)), (millis(1_000), pace(2))]);
        let mut schedule = Schedule::new(paces, millis(5));
        let mut above = |at: u64| schedule.starts(millis(at));
        assert!([0, 100, 195, 900].into_iter().all(|at| !above(at)));
        assert!(above(950));
        assert!(!above(1_600) && !above(2_100));
        assert!(above(2_400));
    }
}

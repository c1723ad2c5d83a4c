//! Starts of one client at one account, checked against the stated bound as they come.

use std::time::Duration;

use super::plan::Plan;

/// The time for which a 429 of the provider asks.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);

/// Starts of one client at one account, in the order in which their writes began.
#[derive(Debug, Default)]
pub(super) struct Starts {
    at: Vec<Duration>,
    /// The most that a start up to this one is ahead of one start an interval, in ns.
    ahead: Vec<i128>,
    throttles: Vec<Duration>,
}

impl Starts {
    /// Notes a start; false if some window that it ends, or that a later one ends, holds more than `1 + (window + tolerance) / interval`.
    pub(super) fn add(&mut self, plan: &Plan, at: Duration) -> bool {
        let interval = plan.share().interval().as_nanos() as i128;
        let tolerance = plan.tolerance.as_nanos() as i128;
        // A write that was blocked began before others that came first.
        let place = self.at.partition_point(|known| *known <= at);
        self.at.insert(place, at);
        self.ahead.truncate(place);
        let mut within = true;
        for index in place..self.at.len() {
            let ahead = self.at[index].as_nanos() as i128 - index as i128 * interval;
            let most = self.ahead.last().copied().unwrap_or(ahead);
            within &= most - ahead <= tolerance;
            self.ahead.push(most.max(ahead));
        }
        within
    }

    /// A 429 was read to its end.
    pub(super) fn throttled(&mut self, at: Duration) {
        self.throttles.push(at);
    }

    /// Whether a start at this time falls into a pause; permits that were out already may still start.
    pub(super) fn in_pause(&self, plan: &Plan, at: Duration) -> bool {
        let late = |throttle: &&Duration| at + Duration::from_secs(60) > **throttle;
        let pauses = |throttle: &Duration| {
            let (from, until) = (*throttle + plan.tolerance + TICK, *throttle + PAUSE - TICK);
            (from..until).contains(&at)
        };
        self.throttles.iter().rev().take_while(late).take(200).any(pauses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::{EntropyExt, SeededEntropy};

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn plan() -> Plan {
        let mut plan = Plan::draw(&SeededEntropy::new(1), 1);
        (plan.processes, plan.tolerance) = (1, ms(50));
        plan.per_second = std::num::NonZeroU32::new(5).unwrap();
        plan
    }

    #[test]
    fn the_bound_is_that_of_every_window_in_any_order() {
        let (entropy, mut wrong) = (SeededEntropy::new(3), 0);
        for _ in 0..200 {
            let (plan, mut starts, mut within) = (plan(), Starts::default(), true);
            let mut at: Vec<u64> = (0..8).map(|n| n * 200 + entropy.below(80)).collect();
            let other = entropy.below(8) as usize;
            at.swap(0, other);
            at.iter().for_each(|at| within &= starts.add(&plan, ms(*at)));
            at.sort();
            let windows = (0..8).flat_map(|from| (from..8).map(move |to| (from, to)));
            let fits = |(from, to): (usize, usize)| to - from < 1 + ((at[to] - at[from] + 50) / 200) as usize;
            let all = windows.clone().all(fits);
            assert_eq!(within, all, "{at:?}");
            wrong += u32::from(!all);
        }
        assert!((20..180).contains(&wrong), "{wrong}");
    }

    #[test]
    fn a_pause_begins_a_tolerance_after_the_throttle() {
        let (plan, mut starts) = (plan(), Starts::default());
        starts.throttled(ms(1000));
        assert!(!starts.in_pause(&plan, ms(1040)));
        assert!(starts.in_pause(&plan, ms(1100)));
        assert!(starts.in_pause(&plan, ms(1990)));
        assert!(!starts.in_pause(&plan, ms(2000)));
    }
}

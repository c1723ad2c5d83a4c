//! When the calls of a day come in.

use std::num::NonZeroU32;
use std::time::Duration;

/// The share of each hour, beginning at midnight: quiet nights, a busy morning, a long afternoon.
const WEIGHTS: [u64; 24] =
    [3, 3, 3, 3, 3, 3, 3, 7, 11, 16, 18, 17, 14, 16, 17, 16, 15, 15, 13, 10, 7, 5, 4, 3];

/// Calls per hour.
#[derive(Debug, Clone)]
pub(super) struct Curve([usize; 24]);

impl Curve {
    /// So many calls over the day.
    pub(super) fn new(calls: usize) -> Self {
        let sum: u64 = WEIGHTS.iter().sum();
        let mut until = 0;
        let mut before = 0;
        Self(WEIGHTS.map(|weight| {
            until += weight;
            let upto = (calls as u64 * until / sum) as usize;
            let count = upto - before;
            before = upto;
            count
        }))
    }

    /// A pace an eighth above the busiest hour, in starts an hour.
    pub(super) fn pace(&self) -> NonZeroU32 {
        let busiest = self.0.iter().max().copied().unwrap_or_default() as u64;
        NonZeroU32::new((busiest * 9).div_ceil(8) as u32).unwrap_or(NonZeroU32::MIN)
    }

    /// Calls that come in that hour.
    pub(super) fn hour(&self, hour: usize) -> usize {
        self.0.get(hour).copied().unwrap_or_default()
    }

    /// How long after midnight each call comes in, evenly within its hour.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = Duration> + use<> {
        let hours = self.0;
        (0u64..)
            .zip(hours)
            .flat_map(move |(hour, count)| (0..count).map(move |number| at(hour, number, count)))
    }

    /// When call `number` of the day comes in.
    pub(super) fn arrival(&self, mut number: usize) -> Duration {
        for (hour, count) in (0u64..).zip(self.0) {
            if number < count {
                return at(hour, number, count);
            }
            number -= count;
        }
        Duration::from_secs(86_400)
    }
}

fn at(hour: u64, number: usize, count: usize) -> Duration {
    let within = 3_600_000_000 * number as u64 / count as u64;
    Duration::from_secs(3_600 * hour) + Duration::from_micros(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_calls_in_order_and_its_pace_fits_the_busiest_hour() {
        for calls in [24, 5_000, 1_000_000] {
            let curve = Curve::new(calls);
            let arrivals: Vec<_> = curve.arrivals().collect();
            assert_eq!(arrivals.len(), calls);
            assert!(arrivals.is_sorted() && *arrivals.last().unwrap() < curve.arrival(calls));
            assert_eq!(arrivals[calls / 2], curve.arrival(calls / 2));
            assert!((0..24).all(|hour| curve.hour(hour) as u64 <= u64::from(curve.pace().get())));
        }
        assert_eq!(Curve::new(1_000_000).pace().get(), 25 * 3_600);
    }
}

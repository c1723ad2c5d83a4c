//! What the day counts: a few bytes a call, whatever happens to it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use trunkline::{Clock, Rate};
use trunkline_core_types::VirtualClock;

use super::curve::Curve;

/// How a call ended for its caller, and what was found out later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum End {
    #[default]
    None,
    Placed,
    Rejected,
    Unsent,
    Ambiguous,
    /// Ambiguous, and then proven to have rung.
    FoundPlaced,
    /// Ambiguous, and then proven not to have been placed.
    Absent,
}

/// One call: times are milliseconds after midnight.
#[derive(Debug, Clone, Copy, Default)]
struct Call {
    end: End,
    started: bool,
    rings: u8,
    /// A callback or a look-up said that it rang, maybe before its end.
    proven: bool,
    /// When the writing of the request began that rang, and when it rang.
    began: u32,
    rang: u32,
}

#[derive(Debug)]
pub(super) struct Tally {
    curve: Curve,
    midnight: Instant,
    clock: Arc<VirtualClock>,
    interval: Duration,
    tolerance: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: Vec<Call>,
    /// The earliest moment at which the next start is on time.
    next: Duration,
    counted: Counted,
}

/// Sums of the day.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) duplicates: u64,
    pub(super) pace_violations: u64,
    pub(super) refused_keys: u64,
    /// Starts by hour, also those after midnight.
    pub(super) hours: Vec<u64>,
    pub(super) waits: Histogram,
    pub(super) wrong: Vec<String>,
}

impl Tally {
    pub(super) fn new(
        curve: Curve,
        calls: usize,
        pace: Rate,
        tolerance: Duration,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let state =
            State { calls: vec![Call::default(); calls], next: Duration::ZERO, counted: Counted::default() };
        let interval = pace.interval();
        Self { curve, midnight: clock.now(), clock, interval, tolerance, state: Mutex::new(state) }
    }

    /// A create of this call came, whose writing began then. The bound of the pace as a schedule: nobody starts more than the
    /// tolerance before the slot after the last one.
    pub(super) fn started(&self, number: usize, began: Instant) {
        let at = began - self.midnight;
        let mut state = self.state();
        state.counted.pace_violations += u64::from(at + self.tolerance < state.next);
        state.next = state.next.max(at) + self.interval;
        let hour = (at.as_secs() / 3_600) as usize;
        if state.counted.hours.len() <= hour {
            state.counted.hours.resize(hour + 1, 0);
        }
        state.counted.hours[hour] += 1;
        if !std::mem::replace(&mut state.calls[number].started, true) {
            let wait = at.saturating_sub(self.curve.arrival(number));
            state.counted.waits.add(wait);
        }
    }

    /// A person is rung, unless the call was placed before `under_its_key`: the provider honours idempotency keys. Whether it is the
    /// call's first ring.
    pub(super) fn rang(&self, number: usize, under_its_key: bool, began: Instant) -> bool {
        let millis = |at: Instant| u32::try_from((at - self.midnight).as_millis()).unwrap_or(u32::MAX);
        let mut state = self.state();
        let call = &mut state.calls[number];
        let is_first = call.rings == 0;
        if is_first {
            (call.rings, call.began, call.rang) = (1, millis(began), millis(self.clock.now()));
        } else if !under_its_key {
            call.rings = call.rings.saturating_add(1);
            state.counted.duplicates += 1;
        }
        is_first
    }

    pub(super) fn refused_key(&self) {
        self.state().counted.refused_keys += 1;
    }

    /// When the request began that rang, and when it rang.
    pub(super) fn rung(&self, number: usize) -> Option<(Instant, Instant)> {
        let call = self.state().calls[number];
        let at = |millis: u32| self.midnight + Duration::from_millis(millis.into());
        (call.rings > 0).then(|| (at(call.began), at(call.rang)))
    }

    /// A call ended for its caller.
    pub(super) fn ended(&self, number: usize, end: End) {
        let mut state = self.state();
        let call = &mut state.calls[number];
        let agrees = match end {
            End::Placed => call.rings == 1,
            End::Rejected | End::Unsent => call.rings == 0,
            _ => true,
        };
        if call.end != End::None || !agrees {
            let problem = format!("call {number} ended {end:?} after {call:?}");
            state.counted.wrong.push(problem);
        }
        let call = &mut state.calls[number];
        call.end = if end == End::Ambiguous && call.proven { End::FoundPlaced } else { end };
    }

    /// What a callback or a look-up says of a call, which may be under way still.
    pub(super) fn proven(&self, number: usize, found: End) {
        let mut state = self.state();
        let call = &mut state.calls[number];
        call.proven |= found == End::Placed;
        call.end = match (call.end, found) {
            (End::Ambiguous, End::Placed) => End::FoundPlaced,
            (End::Ambiguous, End::Absent) => End::Absent,
            (end, _) => end,
        };
    }

    pub(super) fn wrong(&self, problem: String) {
        self.state().counted.wrong.push(problem);
    }

    /// Calls that ended so.
    pub(super) fn count(&self, ends: &[End]) -> u64 {
        self.state().calls.iter().filter(|call| ends.contains(&call.end)).count() as u64
    }

    /// Calls whose end does not agree with the provider's book, when all is over.
    pub(super) fn misclassified(&self) -> u64 {
        let wrong = |call: &&Call| match call.end {
            End::Placed | End::FoundPlaced => call.rings != 1,
            End::Rejected | End::Unsent | End::Absent => call.rings != 0,
            End::Ambiguous => false,
            End::None => true,
        };
        self.state().calls.iter().filter(wrong).count() as u64
    }

    pub(super) fn counted(&self) -> Counted {
        self.state().counted.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Times in classes a sixty-fourth wide.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    classes: std::collections::BTreeMap<u64, u64>,
    count: u64,
    pub(super) most: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, time: Duration) {
        let millis = time.as_millis() as u64;
        let shift = (u64::BITS - millis.leading_zeros()).saturating_sub(7);
        *self.classes.entry((millis >> shift) << shift).or_default() += 1;
        self.count += 1;
        self.most = self.most.max(time);
    }

    /// What so many of a thousand do not exceed by more than a sixty-fourth, in milliseconds.
    pub(super) fn per_mille(&self, share: u64) -> u64 {
        let rank = (self.count * share).div_ceil(1_000);
        let mut seen = 0;
        let reached = self.classes.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        reached.map_or(0, |(millis, _)| *millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_its_share_to_a_sixty_fourth() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|millis| histogram.add(Duration::from_millis(millis)));
        for share in [1, 500, 990, 1_000] {
            let exact = 100 * share;
            let kept = histogram.per_mille(share);
            assert!(kept <= exact && exact - kept <= exact / 64, "{share}: {kept}");
        }
        assert_eq!(histogram.most, Duration::from_secs(100));
    }
}

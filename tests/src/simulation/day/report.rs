//! The day in numbers.

use std::fmt;

use serde::Serialize;
use trunkline::Drained;

use super::curve::Curve;
use super::peer::DayPeer;
use super::tally::{End, Tally};

/// What a day came to. `duplicates` to `leaked_permits` must be 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Day {
    /// Calls that came in: `placed + rejected + unsent + ambiguous`.
    pub calls: u64,
    /// Rang, as their callers know now.
    pub placed: u64,
    /// The provider refused.
    pub rejected: u64,
    /// Nothing was sent, or the provider did not act.
    pub unsent: u64,
    /// Of unknown outcome still at the end.
    pub ambiguous: u64,
    /// Of unknown outcome first, and settled by a callback or a look-up.
    pub reconciled: u64,
    /// Rings beyond the first under one key.
    pub duplicates: u64,
    /// Calls, findings and events that do not agree with the provider's book.
    pub misclassified: u64,
    /// Starts above the stated bound of the pace.
    pub pace_violations: u64,
    /// Operations that never came back.
    pub leaked_permits: u64,
    /// Events taken, repeats included.
    pub callbacks: u64,
    /// Requests refused because of their key.
    pub refused_keys: u64,
    /// Starts an hour at most.
    pub pace: u64,
    /// From a call's arrival to its first start.
    pub waits: Waits,
    /// Each hour, and the ones after midnight that were needed.
    pub hours: Vec<Hour>,
    /// Seconds of real time that it took, set by whoever has a clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The first problem in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Milliseconds, within a sixty-fourth but for the greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// The median.
    pub p50_ms: u64,
    /// Of a hundred calls 99 waited no longer.
    pub p99_ms: u64,
    /// The greatest.
    pub max_ms: u64,
}

/// One hour of the day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Hour {
    /// Calls that came in.
    pub calls: u64,
    /// Requests that started, repeats included.
    pub starts: u64,
    /// Of the starts that the pace allows, in percent.
    pub utilisation: f64,
}

impl Day {
    /// Whether everything held.
    pub fn holds(&self) -> bool {
        let found = [self.duplicates, self.misclassified, self.pace_violations, self.leaked_permits];
        found.iter().all(|count| *count == 0)
    }
}

pub(super) fn day(tally: &Tally, curve: &Curve, peer: &DayPeer, drained: Drained) -> Day {
    let counted = tally.counted();
    let wrong = counted.wrong;
    let (pace, settled) = (curve.pace().get().into(), [End::FoundPlaced, End::Absent]);
    let hour = |hour: usize| {
        let starts = counted.hours.get(hour).copied().unwrap_or_default();
        let share = starts as f64 / pace as f64;
        Hour { calls: curve.hour(hour) as u64, starts, utilisation: (share * 1_000.0).round() / 10.0 }
    };
    let waits = Waits {
        p50_ms: counted.waits.per_mille(500),
        p99_ms: counted.waits.per_mille(990),
        max_ms: counted.waits.most.as_millis() as u64,
    };
    let (placed, unsent) = (&[End::Placed, End::FoundPlaced], &[End::Unsent, End::Absent]);
    let mut day = Day {
        placed: tally.count(placed),
        rejected: tally.count(&[End::Rejected]),
        unsent: tally.count(unsent),
        ambiguous: tally.count(&[End::Ambiguous]),
        reconciled: tally.count(&settled),
        duplicates: counted.duplicates,
        misclassified: tally.misclassified() + wrong.len() as u64,
        pace_violations: counted.pace_violations,
        leaked_permits: drained.under_way as u64,
        callbacks: peer.callbacks.taken(),
        refused_keys: counted.refused_keys,
        pace,
        waits,
        hours: (0..counted.hours.len().max(24)).map(hour).collect(),
        problem: wrong.into_iter().next(),
        ..Day::default()
    };
    day.calls = day.placed + day.rejected + day.unsent + day.ambiguous;
    day
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hour    calls   starts  of the pace of {:.1} a second", self.pace as f64 / 3_600.0)?;
        for (number, hour) in self.hours.iter().enumerate() {
            let bar = "#".repeat((hour.utilisation / 2.5).round() as usize);
            writeln!(
                f,
                "{number:>4} {:>8} {:>8}  {:>5.1} % {bar}",
                hour.calls, hour.starts, hour.utilisation
            )?;
        }
        let waits = self.waits;
        writeln!(
            f,
            "waits           p50 {} ms, p99 {} ms, max {} ms",
            waits.p50_ms, waits.p99_ms, waits.max_ms
        )?;
        for (name, count) in [
            ("calls", self.calls),
            ("placed", self.placed),
            ("rejected", self.rejected),
            ("unsent", self.unsent),
            ("ambiguous", self.ambiguous),
            ("reconciled", self.reconciled),
            ("callbacks", self.callbacks),
            ("refused keys", self.refused_keys),
            ("duplicates", self.duplicates),
            ("misclassified", self.misclassified),
            ("pace_violations", self.pace_violations),
            ("leaked_permits", self.leaked_permits),
        ] {
            writeln!(f, "{name:<15} {count}")?;
        }
        Ok(())
    }
}

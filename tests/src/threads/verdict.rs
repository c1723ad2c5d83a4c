//! What the callers saw, held against what the servers' books say.

use std::collections::HashMap;
use std::fmt;

use super::callers::{Ends, person};
use super::plan::Plan;
use super::round::World;
use crate::end::End;

/// The sums of one plan or of several; everything from `duplicates` on has to be zero or empty.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Calls that were made.
    pub calls: usize,
    /// Ends by class: placed, rejected, unsent, ambiguous, dropped. A call has several: two callers, a second try.
    pub ends: [usize; 5],
    /// Rings in the servers' books.
    pub rung: u64,
    /// Throttles that were heard.
    pub pauses: usize,
    /// Rings beyond the first of a person.
    pub duplicates: u64,
    /// Calls rejected, for which no plan has a reason.
    pub rejected: u64,
    /// Calls whose ends and rings do not go together.
    pub misclassified: Vec<String>,
    /// Creates above the pace, as the servers saw them arrive.
    pub pace_violations: u64,
    /// Permits in the middle of a pause.
    pub permits_in_a_pause: u64,
    /// Permits that did not come back, and operations under way after a shutdown.
    pub leaked: u64,
}

impl Verdict {
    pub(super) fn of(plan: &Plan, world: &World, ends: &Ends, leaked: u64) -> Self {
        let mut rung = HashMap::<String, u64>::new();
        for call in world.servers.iter().flat_map(|server| server.calls()) {
            *rung.entry(call.to).or_default() += 1;
        }
        let pauses = if plan.throttles { world.watch.permits_in_a_pause() } else { 0 };
        let mut verdict = Self {
            calls: ends.0.len(),
            rung: rung.values().sum(),
            pauses: world.watch.pauses(),
            duplicates: rung.values().map(|rings| rings - 1).sum(),
            pace_violations: world.servers.iter().map(|server| server.book().pace_violations).sum(),
            permits_in_a_pause: pauses,
            leaked,
            ..Self::default()
        };
        for (number, ends) in ends.0.iter().enumerate() {
            let rings = rung.get(&person(plan, number)).copied().unwrap_or(0);
            ends.iter().for_each(|end| verdict.ends[*end as usize] += 1);
            if !agree(ends, rings) {
                verdict.misclassified.push(format!("{}, call {number}: {ends:?}, rung {rings}", plan.name));
            }
        }
        verdict.rejected = verdict.ends[End::Rejected as usize] as u64;
        verdict
    }

    /// Adds another plan's sums.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.rung += other.rung;
        self.pauses += other.pauses;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.pace_violations += other.pace_violations;
        self.permits_in_a_pause += other.permits_in_a_pause;
        self.leaked += other.leaked;
        self.misclassified.extend(other.misclassified);
        self.ends.iter_mut().zip(other.ends).for_each(|(sum, more)| *sum += more);
    }

    /// Whether everything held.
    pub fn holds(&self) -> bool {
        let faults =
            [self.duplicates, self.rejected, self.pace_violations, self.permits_in_a_pause, self.leaked];
        faults == [0; 5] && self.misclassified.is_empty()
    }
}

/// Whether these ends of one call can go with so many rings. One who gave up and one who knows nothing forbid no first ring.
fn agree(ends: &[End], rings: u64) -> bool {
    let free = |end: &End| matches!(end, End::Unsent | End::Rejected);
    if ends.is_empty() {
        return false;
    }
    if ends.contains(&End::Placed) {
        // Two callers see one end; ambiguous and placed would be two.
        let split = ends.contains(&End::Ambiguous) && !ends.contains(&End::Dropped);
        return rings == 1 && !split;
    }
    if ends.iter().all(free) { rings == 0 } else { rings <= 1 }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [placed, rejected, unsent, ambiguous, dropped] = self.ends;
        writeln!(f, "calls {}, rung {}, pauses {}", self.calls, self.rung, self.pauses)?;
        writeln!(
            f,
            "ends: placed {placed}, rejected {rejected}, unsent {unsent}, ambiguous {ambiguous}, dropped {dropped}"
        )?;
        writeln!(
            f,
            "duplicates {}, misclassified {}, rejected {}, pace_violations {}, permits_in_a_pause {}, leaked {}",
            self.duplicates,
            self.misclassified.len(),
            self.rejected,
            self.pace_violations,
            self.permits_in_a_pause,
            self.leaked
        )?;
        self.misclassified.iter().take(10).try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

//! When permits were granted and when the provider asked for silence.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use trunkline::{Clock, Fact, Observer, SystemClock};

use super::plan::{ARRIVAL, TOLERANCE};

#[derive(Debug)]
pub(super) struct Watch {
    clock: SystemClock,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    permits: Vec<Instant>,
    pauses: Vec<(Instant, Duration)>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { clock: SystemClock::new(), seen: Mutex::default() }
    }

    /// Permits well inside a pause; the thread that reports one may be late by [`ARRIVAL`].
    pub(super) fn permits_in_a_pause(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        let inside = |at: &Instant| {
            let within = |(from, pause): &(Instant, Duration)| {
                (*from + TOLERANCE + ARRIVAL..*from + *pause - TOLERANCE).contains(at)
            };
            seen.pauses.iter().any(within)
        };
        seen.permits.iter().filter(|at| inside(at)).count() as u64
    }

    pub(super) fn pauses(&self) -> usize {
        self.seen.lock().unwrap().pauses.len()
    }
}

impl Observer for Watch {
    fn saw(&self, fact: Fact) {
        match fact {
            Fact::Permitted { .. } => self.seen.lock().unwrap().permits.push(self.clock.now()),
            Fact::Throttled { pause } => {
                // The pause was reckoned before it was reported, at the earliest now.
                self.seen.lock().unwrap().pauses.push((self.clock.now(), pause));
            }
            _ => {}
        }
    }
}

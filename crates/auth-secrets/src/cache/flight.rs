//! What the callers of a cache share under its lock: the fetch under way, the last failure, the versions that were refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core_types::{EntropyExt, KeyError, KeySet};

use crate::sync::{self, AbortHandle};

/// What a fetch brings, told to whoever waits in the order in which they came.
pub(super) type Landed = sync::Landed<Result<KeySet, KeyError>>;

/// Least time between two forced fetches for one version.
const FORCED_EVERY: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many refused versions are remembered.
const REMEMBERED: usize = 8;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) flight: Option<Flight>,
    pub(super) failure: Option<Failure>,
    refused: Vec<Refused>,
    refusals: u64,
    flights: u64,
}

#[derive(Debug)]
struct Refused {
    version: Arc<str>,
    at: Instant,
    number: u64,
}

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) landed: Landed,
    pub(super) number: u64,
    /// From then on nobody waits for it any more.
    pub(super) over_by: Instant,
    /// For the owner to end; missing for the moment in which it is started.
    pub(super) task: Option<AbortHandle>,
}

/// The last failure, which answers all callers until `until`.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: KeyError,
    pub(super) until: Instant,
    pause: Duration,
}

impl State {
    /// A fetch begins; gives its number.
    pub(super) fn take_off(&mut self, landed: Landed, over_by: Instant) -> u64 {
        self.flights += 1;
        self.flight = Some(Flight { landed, number: self.flights, over_by, task: None });
        self.flights
    }

    /// Notes a failure; the pause before the next fetch doubles with each in a row.
    pub(super) fn failed(
        &mut self,
        error: KeyError,
        now: Instant,
        entropy: &dyn trunkline_core_types::Entropy,
    ) {
        let pause =
            self.failure.as_ref().map_or(FIRST_PAUSE, |failure| (failure.pause * 2).min(LONGEST_PAUSE));
        let until = now + pause.mul_f64(1.0 - 0.1 * entropy.fraction());
        self.failure = Some(Failure { error, until, pause });
    }

    /// Notes that a version was refused.
    ///
    /// # Errors
    /// When it may be noted again, if it was less than 30 s ago.
    pub(super) fn refuse(&mut self, version: &str, at: Instant) -> Result<(), Instant> {
        if let Some(known) = self.refused.iter().find(|known| *known.version == *version)
            && at < known.at + FORCED_EVERY
        {
            return Err(known.at + FORCED_EVERY);
        }
        self.refused.retain(|known| *known.version != *version);
        if self.refused.len() == REMEMBERED {
            self.refused.remove(0);
        }
        self.refusals += 1;
        self.refused.push(Refused { version: version.into(), at, number: self.refusals });
        Ok(())
    }

    /// When to look again after a fetch that brought this version back, if it was refused: when twice the time since has passed, at first
    /// after a second. A rotation may reach the provider before the store.
    pub(super) fn look_again(&self, version: &str, now: Instant) -> Option<Instant> {
        let refused = self.refused.iter().find(|known| *known.version == *version)?;
        Some(now + now.saturating_duration_since(refused.at).max(FIRST_PAUSE))
    }

    /// How many versions were refused so far.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Whether the version was refused after the first `refusals` ones.
    pub(super) fn refused_after(&self, refusals: u64, version: &str) -> bool {
        self.refused.iter().any(|known| *known.version == *version && known.number > refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::{Clock, KeyErrorKind, SeededEntropy, SystemClock};

    #[test]
    fn a_version_is_forced_once_in_30_seconds_and_the_memory_is_bounded() {
        let (mut state, now) = (State::default(), SystemClock::new().now());
        assert_eq!([state.refuse("kv-1", now), state.refuse("kv-2", now)], [Ok(()); 2]);
        let next = now + Duration::from_secs(30);
        assert_eq!(state.refuse("kv-1", now + Duration::from_millis(29_999)), Err(next));
        assert_eq!(state.refuse("kv-1", next), Ok(()));
        (0..100).for_each(|n| assert_eq!(state.refuse(&format!("n-{n}"), now), Ok(())));
        assert_eq!(state.refused.len(), REMEMBERED);
    }

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let (mut state, now, entropy) = (State::default(), SystemClock::new().now(), SeededEntropy::new(1));
        for longest in [1, 2, 4, 8, 10, 10] {
            state.failed(KeyError::new(KeyErrorKind::Unavailable, "out"), now, &entropy);
            let pause = state.failure.as_ref().unwrap().until - now;
            let longest = Duration::from_secs(longest);
            assert!(pause <= longest && pause >= longest.mul_f64(0.9), "{pause:?}");
        }
    }
}

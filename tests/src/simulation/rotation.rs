//! Keys that change in mid-flight: the store's side, and what the provider still accepts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trunkline_core_types::{
    BoxFuture, EntropyExt, Key, KeyError, KeyProvider, KeySet, SeededEntropy, VirtualClock,
};

/// When an account's key changes, and how long the provider accepts the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Since the start of the run.
    changes: Vec<Duration>,
    pub(super) overlap: Duration,
}

/// The key cache sees a change after its soft TTL of 5 minutes, a tenth more by chance, and one fetch.
const SEEN_AFTER: Duration = Duration::from_secs(5 * 60 + 30 + 5);

impl Rotation {
    pub(super) fn none() -> Self {
        Self::at(&[], Duration::ZERO)
    }

    /// At these times, each with this overlap.
    pub(super) fn at(changes: &[Duration], overlap: Duration) -> Self {
        Self { changes: changes.to_vec(), overlap }
    }

    /// Up to three changes within `length`, with an overlap of some minutes, of seconds, or none.
    pub(super) fn draw(entropy: &SeededEntropy, length: Duration) -> Self {
        let count = [0, 1, 1, 3][entropy.below(4) as usize];
        let overlap = Duration::from_secs([0, 20, 600][entropy.below(3) as usize]);
        let mut changes: Vec<_> = (0..count).map(|_| length.mul_f64(0.8 * entropy.fraction())).collect();
        changes.sort();
        Self { changes, overlap }
    }

    /// Keeps the changes of these numbers.
    pub(super) fn retain(&mut self, keeps: impl FnMut(usize) -> bool) {
        let mut kept = (0..self.changes.len()).map(keeps).collect::<Vec<_>>().into_iter();
        self.changes.retain(|_| kept.next() == Some(true));
    }

    /// Whether every change is seen by a cache, which somebody asks until `busy_until`, before the old key ends.
    pub(super) fn is_gentle(&self, busy_until: Duration) -> bool {
        let apart = self.changes.windows(2).all(|pair| pair[1] - pair[0] > self.overlap);
        let seen = self.changes.iter().all(|at| *at + SEEN_AFTER <= busy_until);
        self.changes.is_empty() || (self.overlap >= SEEN_AFTER && apart && seen)
    }

    /// The number of the key that the store holds.
    pub(super) fn current(&self, since: Duration) -> usize {
        self.changes.iter().take_while(|at| **at <= since).count()
    }

    /// Whether the provider accepts key `number`.
    pub(super) fn accepts(&self, number: usize, since: Duration) -> bool {
        let current = self.current(since);
        let old = number + 1 == current && since < self.changes[current - 1] + self.overlap;
        number == current || old
    }
}

/// A key's text: a prefix and its number.
pub(super) fn text(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

/// The store that holds a rotating key.
#[derive(Debug)]
pub(super) struct RotatingKeys {
    rotation: Rotation,
    prefix: &'static str,
    clock: Arc<VirtualClock>,
    /// How often each version was dropped because the provider refused it.
    dropped: Mutex<BTreeMap<String, u32>>,
}

impl RotatingKeys {
    pub(super) fn new(rotation: Rotation, prefix: &'static str, clock: Arc<VirtualClock>) -> Self {
        Self { rotation, prefix, clock, dropped: Mutex::default() }
    }

    /// What is wrong with the drops: one that no refusal explains, or more than two of the same version. A 401 does not tell which of an
    /// account's two keys it means: one drop may be for the other's end and, accepted since, one for its own.
    pub(super) fn problem(&self, busy_until: Option<Duration>) -> Option<String> {
        let dropped = self.dropped.lock().unwrap();
        let again = dropped.iter().find(|(_, times)| **times > 2);
        let gentle = busy_until.is_some_and(|until| self.rotation.is_gentle(until));
        let needless = dropped.iter().next().filter(|_| gentle);
        again.or(needless).map(|(version, times)| format!("key {version} was dropped {times} times"))
    }

    fn key(&self, number: usize) -> Result<Key, KeyError> {
        Key::new(text(self.prefix, number).into(), format!("v{number}"))
    }

    fn set(&self) -> Result<KeySet, KeyError> {
        let number = self.rotation.current(self.clock.since_start());
        let previous = number.checked_sub(1).map(|number| self.key(number)).transpose()?;
        Ok(KeySet { current: self.key(number)?, previous })
    }
}

impl KeyProvider for RotatingKeys {
    fn keys(&self, _: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(async move { self.set() })
    }

    fn invalidate(&self, version: &str) {
        *self.dropped.lock().unwrap().entry(version.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_key_holds_for_the_overlap_and_no_older_one_does() {
        let second = Duration::from_secs(1);
        let rotation = Rotation::at(&[10 * second, 50 * second], 20 * second);
        let accepted =
            |number| (0..80).filter(|at| rotation.accepts(number, *at * second)).collect::<Vec<u32>>();
        assert_eq!(accepted(0), (0..30).collect::<Vec<_>>());
        assert_eq!(accepted(1), (10..70).collect::<Vec<_>>());
        assert_eq!(accepted(2), (50..80).collect::<Vec<_>>());
        assert!(!rotation.is_gentle(80 * second) && Rotation::none().is_gentle(second));
    }
}

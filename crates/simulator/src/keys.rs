//! Idempotency keys: which call each was used up by, kept for 24 h.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// How long a key is kept from its first use.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// One used key.
#[derive(Debug)]
struct Used {
    body: [u8; 32],
    at: Instant,
    call: usize,
    answered: bool,
    lost: bool,
}

/// What a key says about a create.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    /// Placed before; the call's place in the order of creation.
    Replay(usize),
    /// Used with another body.
    Conflict,
    /// Placed by a request that is not yet answered.
    Running,
    /// Placed, and the service lost track of it.
    Lost,
}

/// The used keys. No larger than the store of calls: only a placed call adds one.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Used>);

impl Keys {
    pub(crate) fn look(&self, key: &str, body: &[u8], now: Instant) -> Seen {
        match self.0.get(key) {
            Some(used) if now.saturating_duration_since(used.at) < KEPT => {
                if used.body != digest(body) {
                    Seen::Conflict
                } else if used.lost {
                    Seen::Lost
                } else if used.answered {
                    Seen::Replay(used.call)
                } else {
                    Seen::Running
                }
            }
            _ => Seen::New,
        }
    }

    /// Uses a key up for a call that was just placed and is not yet answered.
    pub(crate) fn use_up(&mut self, key: &str, body: &[u8], call: usize, now: Instant) {
        self.0
            .insert(key.to_owned(), Used { body: digest(body), at: now, call, answered: false, lost: false });
    }

    /// Loses track of a used key, for as long as it is kept.
    pub(crate) fn lose(&mut self, key: &str) {
        if let Some(used) = self.0.get_mut(key) {
            used.lost = true;
        }
    }

    pub(crate) fn answered(&mut self, key: &str, call: usize) {
        if let Some(used) = self.0.get_mut(key).filter(|used| used.call == call) {
            used.answered = true;
        }
    }
}

fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::{Clock, SystemClock};

    #[test]
    fn a_key_runs_replays_and_ends_after_a_day() {
        let now = SystemClock::new().now();
        let mut keys = Keys::default();
        assert_eq!(keys.look("k", b"a", now), Seen::New);
        keys.use_up("k", b"a", 7, now);
        assert_eq!(keys.look("k", b"a", now), Seen::Running);
        assert_eq!(keys.look("k", b"b", now), Seen::Conflict);
        keys.answered("k", 8);
        assert_eq!(keys.look("k", b"a", now), Seen::Running);
        keys.answered("k", 7);
        assert_eq!(keys.look("k", b"a", now + KEPT - Duration::from_nanos(1)), Seen::Replay(7));
        keys.lose("k");
        assert_eq!(keys.look("k", b"a", now), Seen::Lost);
        assert_eq!(keys.look("k", b"b", now), Seen::Conflict);
        assert_eq!(keys.look("k", b"a", now + KEPT), Seen::New);
    }
}

//! What the provider knows of each key, and what it found wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::plan::Plan;
use crate::simulation::callbacks::Rung;
use crate::simulation::jumps::Schedule;

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) calls: BTreeMap<String, Entry>,
    /// Creates that ring later, by time.
    pub(super) later: BTreeMap<(Instant, u64), Create>,
    pub(super) schedules: BTreeMap<usize, Schedule>,
    /// Calls that surely hold a lease of the account, until when.
    pub(super) live: BTreeMap<(usize, String), Instant>,
    pub(super) number: u64,
    pub(super) rung: u64,
    pub(super) refused_keys: u64,
}

/// What the book knows of one key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) rings: u32,
    pub(super) requests: u32,
    /// A request of it may have rung or may still ring.
    pub(super) unclear: bool,
    /// It was refused as a call: asking again gives the same answer.
    pub(super) bad: bool,
    /// When it came to the client, and when it was rung first, with when that request began.
    pub(super) came: Option<Instant>,
    pub(super) rang: Option<(Instant, Instant)>,
    pub(super) placed: bool,
    pub(super) call: Option<Arc<Rung>>,
}

/// A whole create.
#[derive(Debug, Clone)]
pub(super) struct Create {
    pub(super) account: usize,
    pub(super) key: String,
    pub(super) to: String,
    pub(super) began: Instant,
}

impl Book {
    /// How many calls are surely under a lease of the account, if these are more than it may have.
    pub(super) fn too_many_live(&mut self, plan: &Plan, account: usize, now: Instant) -> Option<usize> {
        let (max, _) = plan.live_calls?;
        self.live.retain(|_, until| *until > now);
        let live = self.live.keys().filter(|(of, _)| *of == account).count();
        (live > max.get() as usize).then_some(live)
    }
}

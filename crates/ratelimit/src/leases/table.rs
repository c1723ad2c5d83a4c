//! Who holds a lease and who waits for one: pure over the time it is handed, in nanoseconds from the owner's origin.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use trunkline_core_types::{Denied, DeniedKind};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Taken,
    Denied(Denied),
    /// Look again at `until`, which lies ahead, or when woken.
    Wait {
        id: u64,
        until: u64,
    },
}

/// What somebody asks for.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) holder: &'a str,
    pub(super) deadline: u64,
    pub(super) ttl: u64,
}

pub(super) struct Table {
    capacity: usize,
    queue: usize,
    ends: HashMap<Arc<str>, u64>,
    by_end: BTreeSet<(u64, Arc<str>)>,
    line: BTreeMap<u64, Waker>,
    next_id: u64,
}

impl Table {
    pub(super) fn new(capacity: usize, queue: usize) -> Self {
        Self {
            capacity,
            queue,
            ends: HashMap::new(),
            by_end: BTreeSet::new(),
            line: BTreeMap::new(),
            next_id: 0,
        }
    }

    pub(super) fn held(&mut self, now: u64) -> usize {
        self.expire(now);
        self.ends.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// One step of somebody who asks; `place` is its number in the line once it has one. Also whom to wake.
    pub(super) fn ask(
        &mut self,
        now: u64,
        place: Option<u64>,
        request: Request<'_>,
        waker: &Waker,
    ) -> (Step, Option<Waker>) {
        self.expire(now);
        let first = self.first().is_none_or(|first| place == Some(first));
        let renews = self.ends.contains_key(request.holder);
        if renews || (first && self.ends.len() < self.capacity) {
            self.hold(request.holder, now, request.ttl);
            if let Some(id) = place {
                self.line.remove(&id);
            }
            // The first in line has a new first, or an end that came nearer.
            return (Step::Taken, self.next());
        }
        let wait = self.by_end.first().map_or(0, |(end, _)| end.saturating_sub(now)).max(1);
        let wait = Some(Duration::from_nanos(wait));
        if now >= request.deadline {
            let denied = Denied { kind: DeniedKind::Deadline, wait };
            return (Step::Denied(denied), place.and_then(|id| self.leave(id)));
        }
        if place.is_none() && self.line.len() >= self.queue {
            return (Step::Denied(Denied { kind: DeniedKind::Full, wait }), None);
        }
        let id = place.unwrap_or(self.next_id);
        if place.is_none() {
            self.next_id += 1;
        }
        self.line.insert(id, waker.clone());
        let next_end = self.by_end.first().map_or(request.deadline, |(end, _)| *end);
        let until = if first { request.deadline.min(next_end) } else { request.deadline };
        (Step::Wait { id, until }, None)
    }

    /// Leaves the line; whom to wake if that was the first of it.
    pub(super) fn leave(&mut self, id: u64) -> Option<Waker> {
        let was_first = self.first() == Some(id);
        self.line.remove(&id);
        if was_first { self.next() } else { None }
    }

    pub(super) fn release(&mut self, holder: &str) -> Option<Waker> {
        let (holder, end) = self.ends.remove_entry(holder)?;
        self.by_end.remove(&(end, holder));
        self.next()
    }

    fn hold(&mut self, holder: &str, now: u64, ttl: u64) {
        let name = match self.ends.remove_entry(holder) {
            Some((name, end)) => {
                self.by_end.remove(&(end, Arc::clone(&name)));
                name
            }
            None => holder.into(),
        };
        let end = now.saturating_add(ttl);
        self.by_end.insert((end, Arc::clone(&name)));
        self.ends.insert(name, end);
    }

    fn expire(&mut self, now: u64) {
        while self.by_end.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, holder)) = self.by_end.pop_first() {
                self.ends.remove(&holder);
            }
        }
    }

    fn first(&self) -> Option<u64> {
        self.line.keys().next().copied()
    }

    fn next(&self) -> Option<Waker> {
        self.line.values().next().cloned()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("capacity", &self.capacity)
            .field("held", &self.ends.len())
            .field("waiting", &self.line.len())
            .finish_non_exhaustive()
    }
}

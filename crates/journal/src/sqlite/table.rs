//! Keys in memory: those that a call of this process holds, those that are not written yet, and a few that ended lately. The rules
//! are those of `life`; the file follows this table.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use trunkline_core_types::{CallRef, Claim, Class, IdempotencyKey, Intent, JournalError};

use super::entry::{Entry, Image, PlacedAs};
use crate::life::{first_after, state};

/// Ended or left keys that stay in memory after they are written.
const KEPT: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Table {
    keys: HashMap<IdempotencyKey, Entry>,
    dirty: Vec<IdempotencyKey>,
    /// Quiet claims since the last commit, and since the one before.
    claimed: [Vec<IdempotencyKey>; 2],
    /// Dirty too, but their last write failed.
    stuck: Vec<IdempotencyKey>,
    kept: VecDeque<IdempotencyKey>,
}

impl Table {
    pub(super) fn knows(&self, key: &IdempotencyKey) -> bool {
        self.keys.contains_key(key)
    }

    pub(super) fn insert(&mut self, key: &IdempotencyKey, entry: Entry) {
        self.keys.entry(key.clone()).or_insert(entry);
        self.keep(key);
    }

    /// The rules of a claim, for a key that the file does not hold or that was taken from it.
    pub(super) fn claim(&mut self, intent: &Arc<Intent>) -> Claim {
        let Some(entry) = self.keys.get_mut(&intent.key) else {
            self.keys.insert(intent.key.clone(), Entry::claimed(intent));
            self.quieten(&intent.key);
            return Claim::Go { number: first_after(0) };
        };
        let claim = entry.claim(intent);
        if matches!(claim, Claim::Go { .. }) {
            self.quieten(&intent.key);
        }
        claim
    }

    pub(super) fn begin(&mut self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        let entry = self.keys.get_mut(&intent.key);
        entry
            .ok_or_else(|| state("begin: nobody in this process holds the key; claim it first"))?
            .begin(intent, number)?;
        self.mark(&intent.key);
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let entry = self.keys.get_mut(key);
        let entry = entry.ok_or_else(|| {
            state("end: nobody in this process holds the key; claim it first, or settle the call")
        })?;
        entry.end(number, class, reply)?;
        self.mark(key);
        Ok(())
    }

    /// Settles a key that the table knows; see [`knows`](Self::knows).
    pub(super) fn settle(
        &mut self,
        key: &IdempotencyKey,
        claim: Option<u32>,
        class: Class,
        reply: Option<Bytes>,
        now: SystemTime,
    ) -> Result<(), JournalError> {
        let entry = self.keys.get_mut(key);
        entry
            .ok_or_else(|| state("settle: the key is unknown; claim it first"))?
            .settle(claim, class, reply, now)?;
        self.mark(key);
        Ok(())
    }

    /// Notes what a provider made of a key that the table knows.
    pub(super) fn placed(&mut self, key: &IdempotencyKey, placed: PlacedAs) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.placed = Some(placed);
            self.mark(key);
        }
    }

    /// The key of a call of which the file could not take it yet.
    pub(super) fn unwritten_key_of(&self, call: &CallRef) -> Option<IdempotencyKey> {
        let made = |key: &&IdempotencyKey| self.keys.get(*key).is_some_and(|entry| entry.made(call));
        self.stuck.iter().chain(&self.dirty).find(made).cloned()
    }

    /// Whether the last write of this key failed.
    pub(super) fn is_stuck(&self, key: &IdempotencyKey) -> bool {
        self.stuck.contains(key)
    }

    /// Frees a claim that nobody took, unless it was used. One that the file never saw leaves no trace.
    pub(super) fn unclaim(&mut self, key: &IdempotencyKey, now: SystemTime) {
        let Some(entry) = self.keys.get(key).filter(|entry| entry.is_unused()) else { return };
        if entry.id.is_none() && entry.quiet {
            self.forget(key);
        } else {
            // Cannot fail: no attempt is in flight.
            let _ = self.settle(key, None, Class::Unsent, None, now);
        }
    }

    fn mark(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.quiet = false;
            if !mem::replace(&mut entry.dirty, true) {
                self.dirty.push(key.clone());
            }
        }
    }

    /// A claim alone need not be in the file: nothing was sent under it, and a crash frees it. It goes with the first begin, or with
    /// the second commit from now.
    fn quieten(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.keys.get_mut(key).filter(|entry| !entry.dirty) {
            entry.quiet = true;
            self.claimed[0].push(key.clone());
        }
    }

    /// Marks all quiet claims.
    pub(super) fn ripen(&mut self) {
        self.ripen_older();
        self.ripen_older();
    }

    fn ripen_older(&mut self) {
        let older = mem::take(&mut self.claimed[1]);
        self.claimed.swap(0, 1);
        for key in older {
            if self.keys.get(&key).is_some_and(|entry| entry.quiet) {
                self.mark(&key);
            }
        }
    }

    /// Whether a claim may be quiet.
    pub(super) fn has_quiet(&self) -> bool {
        self.claimed.iter().any(|claimed| !claimed.is_empty())
    }

    /// Nothing waits to be written, but for what failed before.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Writes of these failed before.
    pub(super) fn stuck(&self) -> usize {
        self.stuck.len()
    }

    /// What is to be written, to be followed by [`written`](Self::written) or [`unwritten`](Self::unwritten): what changed, and what
    /// failed before.
    pub(super) fn images(&mut self) -> (Vec<Image>, Vec<Image>) {
        if !self.dirty.is_empty() {
            self.ripen_older();
        }
        let (dirty, stuck) = (mem::take(&mut self.dirty), mem::take(&mut self.stuck));
        (self.images_of(dirty), self.images_of(stuck))
    }

    fn images_of(&mut self, keys: Vec<IdempotencyKey>) -> Vec<Image> {
        let image = |key: IdempotencyKey| {
            let entry = self.keys.get_mut(&key).filter(|entry| entry.dirty)?;
            Some(entry.image())
        };
        keys.into_iter().filter_map(image).collect()
    }

    /// The image is durable in row `id`.
    pub(super) fn written(&mut self, image: &Image, id: i64) {
        if let Some(entry) = self.keys.get_mut(&image.intent.key) {
            entry.written(id);
        }
        self.keep(&image.intent.key);
    }

    /// The image is not in the file; it is tried again.
    pub(super) fn unwritten(&mut self, image: Image) {
        let key = &image.intent.key;
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.unwritten(image.changes, image.placed);
        // A claim that never reached the file, sent nothing and was given back leaves no trace.
        if entry.id.is_none() && entry.sent_nothing() {
            self.forget(key);
        } else {
            // It may be among the changed ones too: whichever list comes first has its image.
            entry.dirty = true;
            self.stuck.push(key.clone());
        }
    }

    /// Drops a key whose row was deleted, or refuses because it has something to write.
    pub(super) fn forget_clean(&mut self, key: &IdempotencyKey) -> bool {
        let free = self.keys.get(key).is_none_or(Entry::may_go);
        if free {
            self.forget(key);
        }
        free
    }

    fn forget(&mut self, key: &IdempotencyKey) {
        self.keys.remove(key);
    }

    fn keep(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.keys.get_mut(key).filter(|entry| entry.may_go())
            && !mem::replace(&mut entry.kept, true)
        {
            self.kept.push_back(key.clone());
        }
        while self.kept.len() > KEPT {
            let Some(oldest) = self.kept.pop_front() else { return };
            if let Some(entry) = self.keys.get_mut(&oldest) {
                entry.kept = false;
                if entry.may_go() {
                    self.forget(&oldest);
                }
            }
        }
    }

    /// Keys in memory.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second word of a proof comes while the first is on its way to a file that refuses it.
    #[test]
    fn a_key_that_changed_under_a_write_that_failed_is_stuck() {
        let (mut table, now) = (Table::default(), SystemTime::UNIX_EPOCH);
        let intent = Arc::new(Intent {
            key: "key".parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: "call".into(),
            fence: now,
        });
        table.claim(&intent);
        table.begin(&intent, 1).unwrap();
        let mut under_way = table.images().0;
        table.settle(&intent.key, None, Class::Accepted, None, now).unwrap();
        table.unwritten(under_way.remove(0));
        assert!(table.is_stuck(&intent.key));
        // It is written once, with everything.
        let (fresh, stuck) = table.images();
        let images: Vec<_> =
            fresh.iter().chain(&stuck).map(|image| (image.state, image.changes.len())).collect();
        assert_eq!(images, [("settled", 1)]);
    }
}

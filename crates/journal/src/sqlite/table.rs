//! Keys in memory: those that a call of this process holds, those that are not written yet, and a few that ended lately. The rules
//! are those of `life`; the file follows this table.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use trunkline_core_types::{
    AccountId, CallId, CallRef, CallStatus, Claim, Class, IdempotencyKey, Intent, JournalError,
};

use super::rows::word;
use crate::life::{Ended, Open, Step, Tried, state};

/// Ended or left keys that stay in memory after they are written.
const KEPT: usize = 1_024;

/// Class of an attempt whose key was freed under it, and then claimed again.
const GIVEN_UP: &str = "given_up";

#[derive(Debug)]
pub(super) enum Life {
    Held(Open),
    Ended { intent: Arc<Intent>, ended: Ended, reply: Option<Bytes> },
}

/// What a settled key answers: class and reply.
pub(super) type Answer = (Class, Option<Bytes>);

/// A key and how far the file knows it.
#[derive(Debug)]
pub(super) struct Entry {
    life: Life,
    /// The row, once there is one.
    id: Option<i64>,
    claims: u32,
    /// A call of this process claimed it, so attempts in flight may still end.
    ours: bool,
    dirty: bool,
    /// Claimed, and nothing of the claim is to be written yet.
    quiet: bool,
    /// Its image is out, and may come back.
    writing: bool,
    /// Waits in `Table::kept`.
    kept: bool,
    changes: Vec<Change>,
    placed: Option<PlacedAs>,
}

/// The call that a provider made of a key, and its status as the reply said it.
pub(super) type PlacedAs = (CallId, CallStatus);

/// An attempt as it is to be written; no class while it is in flight.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: u32,
    pub(super) claim: u32,
    pub(super) account: AccountId,
    pub(super) class: Option<&'static str>,
}

/// What is to be written of a key.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) id: Option<i64>,
    pub(super) intent: Arc<Intent>,
    pub(super) state: &'static str,
    pub(super) answer: Option<Answer>,
    pub(super) last: u32,
    pub(super) claims: u32,
    pub(super) tried: u32,
    pub(super) changes: Vec<Change>,
    pub(super) placed: Option<PlacedAs>,
}

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

impl Entry {
    /// A key from the file.
    pub(super) fn stored(id: i64, claims: u32, life: Life) -> Self {
        Self {
            life,
            id: Some(id),
            claims,
            ours: false,
            dirty: false,
            quiet: false,
            writing: false,
            kept: false,
            changes: Vec::new(),
            placed: None,
        }
    }

    fn note(&mut self, number: u32, class: Option<Class>) {
        let account = self.life.intent().account.clone();
        self.changes.push(Change { number, claim: self.claims, account, class: class.map(word) });
    }

    /// Carries out what a step of an open key leads to.
    fn carry_out(&mut self, step: &Step, reply: Option<Bytes>) {
        let (answer, reply) = match step {
            Step::Stays => return,
            Step::Settles(class) => (Some(*class), reply),
            Step::Frees => (None, None),
        };
        if let Life::Held(open) = &mut self.life {
            let intent = open.intent.clone();
            let open = mem::replace(open, Open::new(intent.clone(), 0));
            self.life = Life::Ended { intent, ended: open.ended(answer), reply };
        }
    }

    fn end(&mut self, number: u32, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        match &mut self.life {
            Life::Held(open) => {
                let step = open.end(number, class)?;
                self.carry_out(&step, reply);
            }
            Life::Ended { ended, reply: kept, .. } => {
                if ended.end(number, class)? {
                    *kept = kept.take().or(reply);
                }
            }
        }
        self.note(number, Some(class));
        Ok(())
    }

    fn settle(&mut self, class: Class, reply: Option<Bytes>, now: SystemTime) -> Result<(), JournalError> {
        match &mut self.life {
            Life::Held(open) => {
                let step = open.settle(class, || now)?;
                self.carry_out(&step, reply);
                Ok(())
            }
            Life::Ended { ended, reply: kept, .. } => {
                if ended.settle(class)? {
                    *kept = kept.take().or(reply);
                }
                Ok(())
            }
        }
    }

    fn image(&mut self) -> Image {
        let (state, answer) = match &self.life {
            Life::Held(open) if open.is_left() => ("left", None),
            Life::Held(_) => ("held", None),
            Life::Ended { ended, reply, .. } => match ended.answer() {
                Some(class) => ("settled", Some((class, reply.clone()))),
                None => ("free", None),
            },
        };
        let (changes, placed) = (mem::take(&mut self.changes), self.placed.take());
        let tried = self.life.tried();
        Image {
            id: self.id,
            intent: self.life.intent().clone(),
            state,
            answer,
            last: tried.last(),
            claims: self.claims,
            tried: tried.attempts().count() as u32,
            changes,
            placed,
        }
    }

    /// Freed, and no attempt of its claim left the process.
    fn sent_nothing(&self) -> bool {
        let unsent = |(_, class)| class == Some(Class::Unsent);
        matches!(&self.life, Life::Ended { ended, .. } if ended.answer().is_none())
            && self.life.tried().attempts().all(unsent)
    }

    /// Nobody in this process can come back to it, so the file alone may hold it.
    fn may_go(&self) -> bool {
        let held = matches!(&self.life, Life::Held(open) if !open.is_left());
        !(self.dirty || self.writing || held || self.ours && self.life.tried().in_flight())
    }
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
            let life = Life::Held(Open::new(intent.clone(), 0));
            let entry = Entry { id: None, ours: true, ..Entry::stored(0, 1, life) };
            self.keys.insert(intent.key.clone(), entry);
            self.quieten(&intent.key);
            return Claim::Go { number: 1 };
        };
        let last = match &entry.life {
            life if life.intent().detail != intent.detail => return Claim::Mismatch,
            Life::Held(_) => return Claim::Open,
            Life::Ended { ended, reply, .. } => match ended.answer() {
                Some(class) => return Claim::Settled(class, reply.clone()),
                None => ended.last(),
            },
        };
        for (number, _) in entry.life.tried().attempts().filter(|(_, class)| class.is_none()) {
            let account = entry.life.intent().account.clone();
            entry.changes.push(Change { number, claim: entry.claims, account, class: Some(GIVEN_UP) });
        }
        entry.life = Life::Held(Open::new(intent.clone(), last));
        entry.claims = entry.claims.saturating_add(1);
        entry.ours = true;
        self.quieten(&intent.key);
        // At the end of the numbers every begin is refused.
        Claim::Go { number: last.saturating_add(1) }
    }

    pub(super) fn begin(&mut self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        match self.keys.get_mut(&intent.key) {
            Some(entry) => match &mut entry.life {
                Life::Held(open) => {
                    open.begin(intent, number)?;
                    entry.note(number, None);
                }
                Life::Ended { .. } => return Err(state("begin: nobody holds the key; claim it first")),
            },
            None => return Err(state("begin: nobody in this process holds the key; claim it first")),
        }
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
        class: Class,
        reply: Option<Bytes>,
        now: SystemTime,
    ) -> Result<(), JournalError> {
        let entry = self.keys.get_mut(key);
        entry
            .ok_or_else(|| state("settle: the key is unknown; claim it first"))?
            .settle(class, reply, now)?;
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
        let made = |key: &&IdempotencyKey| {
            self.keys.get(*key).is_some_and(|entry| {
                entry.placed.as_ref().is_some_and(|(id, _)| *id == call.id)
                    && entry.life.intent().account == call.account
            })
        };
        self.stuck.iter().chain(&self.dirty).find(made).cloned()
    }

    /// Whether the last write of this key failed.
    pub(super) fn is_stuck(&self, key: &IdempotencyKey) -> bool {
        self.stuck.contains(key)
    }

    /// Frees a claim that nobody took, unless it was used. One that the file never saw leaves no trace.
    pub(super) fn unclaim(&mut self, key: &IdempotencyKey, now: SystemTime) {
        let unused = |entry: &Entry| match &entry.life {
            Life::Held(open) => !open.is_left() && !open.has_begun(),
            Life::Ended { .. } => false,
        };
        let Some(entry) = self.keys.get(key).filter(|entry| unused(entry)) else { return };
        if entry.id.is_none() && entry.quiet {
            self.forget(key);
        } else {
            // Cannot fail: no attempt is in flight.
            let _ = self.settle(key, Class::Unsent, None, now);
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
            entry.dirty = false;
            entry.writing = true;
            Some(entry.image())
        };
        keys.into_iter().filter_map(image).collect()
    }

    /// The image is durable in row `id`.
    pub(super) fn written(&mut self, image: &Image, id: i64) {
        if let Some(entry) = self.keys.get_mut(&image.intent.key) {
            entry.id = Some(id);
            entry.writing = false;
        }
        self.keep(&image.intent.key);
    }

    /// The image is not in the file; it is tried again.
    pub(super) fn unwritten(&mut self, image: Image) {
        let key = &image.intent.key;
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.writing = false;
        let mut changes = image.changes;
        changes.append(&mut entry.changes);
        entry.changes = changes;
        entry.placed = entry.placed.take().or(image.placed);
        // A claim that never reached the file, sent nothing and was given back leaves no trace.
        if entry.id.is_none() && entry.sent_nothing() {
            self.forget(key);
        } else if !mem::replace(&mut entry.dirty, true) {
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

impl Life {
    fn intent(&self) -> &Arc<Intent> {
        match self {
            Self::Held(open) => &open.intent,
            Self::Ended { intent, .. } => intent,
        }
    }

    fn tried(&self) -> &Tried {
        match self {
            Self::Held(open) => open.tried(),
            Self::Ended { ended, .. } => ended.tried(),
        }
    }
}

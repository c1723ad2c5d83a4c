//! One key as the table holds it: its life, and how far the file knows of it.

use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use trunkline_core_types::{AccountId, CallId, CallRef, CallStatus, Claim, Class, Intent, JournalError};

use super::rows::word;
use crate::life::{Ended, Open, Step, Tried, first_after, state};

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
    pub(super) id: Option<i64>,
    claims: u32,
    /// A call of this process claimed it, so attempts in flight may still end.
    ours: bool,
    pub(super) dirty: bool,
    /// Claimed, and nothing of the claim is to be written yet.
    pub(super) quiet: bool,
    /// Its image is out, and may come back.
    writing: bool,
    /// Waits in `Table::kept`.
    pub(super) kept: bool,
    changes: Vec<Change>,
    pub(super) placed: Option<PlacedAs>,
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

    /// A key that was not there, claimed by a call of this process.
    pub(super) fn claimed(intent: &Arc<Intent>) -> Self {
        let life = Life::Held(Open::new(intent.clone(), 0));
        Self { id: None, ours: true, ..Self::stored(0, 1, life) }
    }

    /// The rules of a claim.
    pub(super) fn claim(&mut self, intent: &Arc<Intent>) -> Claim {
        let last = match &self.life {
            life if life.intent().detail != intent.detail => return Claim::Mismatch,
            Life::Held(_) => return Claim::Open,
            Life::Ended { ended, reply, .. } => match ended.answer() {
                Some(class) => return Claim::Settled(class, reply.clone()),
                None => ended.last(),
            },
        };
        for (number, _) in self.life.tried().attempts().filter(|(_, class)| class.is_none()) {
            let account = self.life.intent().account.clone();
            self.changes.push(Change { number, claim: self.claims, account, class: Some(GIVEN_UP) });
        }
        self.life = Life::Held(Open::new(intent.clone(), last));
        self.claims = self.claims.saturating_add(1);
        self.ours = true;
        Claim::Go { number: first_after(last) }
    }

    pub(super) fn begin(&mut self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        let Life::Held(open) = &mut self.life else {
            return Err(state("begin: nobody holds the key; claim it first"));
        };
        open.begin(intent, number)?;
        self.note(number, None);
        Ok(())
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

    pub(super) fn end(
        &mut self,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
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

    pub(super) fn settle(
        &mut self,
        claim: Option<u32>,
        class: Class,
        reply: Option<Bytes>,
        now: SystemTime,
    ) -> Result<(), JournalError> {
        match &mut self.life {
            Life::Held(open) => {
                let step = match claim {
                    Some(number) => open.settle_claim(number, class, || now)?,
                    None => open.settle(class, || now)?,
                };
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

    /// What is to be written, from now on under way to the file.
    pub(super) fn image(&mut self) -> Image {
        self.dirty = false;
        self.writing = true;
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

    /// Its image is durable in row `id`.
    pub(super) fn written(&mut self, id: i64) {
        self.id = Some(id);
        self.writing = false;
    }

    /// Its image is not in the file; what it held comes before what came since.
    pub(super) fn unwritten(&mut self, mut changes: Vec<Change>, placed: Option<PlacedAs>) {
        self.writing = false;
        changes.append(&mut self.changes);
        self.changes = changes;
        self.placed = self.placed.take().or(placed);
    }

    /// Claimed, and nothing came of it yet.
    pub(super) fn is_unused(&self) -> bool {
        matches!(&self.life, Life::Held(open) if !open.is_left() && !open.has_begun())
    }

    /// Whether a provider made this call of it, as far as the file does not know.
    pub(super) fn made(&self, call: &CallRef) -> bool {
        self.placed.as_ref().is_some_and(|(id, _)| *id == call.id)
            && self.life.intent().account == call.account
    }

    /// Freed, and no attempt of its claim left the process.
    pub(super) fn sent_nothing(&self) -> bool {
        let unsent = |(_, class)| class == Some(Class::Unsent);
        matches!(&self.life, Life::Ended { ended, .. } if ended.answer().is_none())
            && self.life.tried().attempts().all(unsent)
    }

    /// Nobody in this process can come back to it, so the file alone may hold it.
    pub(super) fn may_go(&self) -> bool {
        let held = matches!(&self.life, Life::Held(open) if !open.is_left());
        !(self.dirty || self.writing || held || self.ours && self.life.tried().in_flight())
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

//! The keys of a journal in slots: found by name, and each in the one ring of its state, so that no step grows with their number.

use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use trunkline_core_types::{Class, IdempotencyKey, Intent};

use super::index::{Hashed, Index};
use super::past::Past;
use crate::life::Open;

/// A state that keys share. Its ring goes through the slot of this number, which holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// Slots without a key.
    Vacant,
    /// Open keys that no listing has asked for, oldest claim first.
    Fresh,
    /// Open keys that are kept in order elsewhere.
    Listed,
    /// Keys that nobody holds, oldest end first.
    Ended,
}

/// What became of the key of a slot.
#[derive(Debug)]
pub(super) enum Life {
    Vacant,
    Open(Open),
    Ended(Past),
}

#[derive(Debug)]
pub(super) struct Slot {
    ring: Ring,
    previous: u32,
    next: u32,
    hash: Hashed,
    pub(super) life: Life,
}

pub(super) struct Slots {
    index: Index,
    slots: Vec<Slot>,
    /// For the texts of keys that end.
    room: BytesMut,
}

impl Slots {
    /// The most keys.
    pub(super) const MAX: usize = u32::MAX as usize - 4;

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &IdempotencyKey) -> Option<u32> {
        self.find_or_hash(key).ok()
    }

    /// The slot of a key, or, of one that is not there, what `insert` wants to know of it.
    pub(super) fn find_or_hash(&self, key: &IdempotencyKey) -> Result<u32, Hashed> {
        let key = key.as_str().as_bytes();
        let hash = self.index.hash(key);
        self.index.find(hash, |at| self.at(at).life.key() == Some(key)).ok_or(hash)
    }

    /// The slot of an open key, and its life.
    pub(super) fn find_mut(&mut self, key: &IdempotencyKey) -> Option<(u32, &mut Life)> {
        let at = self.find(key)?;
        Some((at, &mut self.at_mut(at).life))
    }

    pub(super) fn life(&self, at: u32) -> &Life {
        &self.at(at).life
    }

    pub(super) fn ring(&self, at: u32) -> Ring {
        self.at(at).ring
    }

    /// The oldest slot of a ring.
    pub(super) fn oldest(&self, ring: Ring) -> Option<u32> {
        let first = self.at(ring as u32).next;
        (first != ring as u32).then_some(first)
    }

    /// Takes in a key that is not there yet, as the newest of the fresh ones.
    pub(super) fn insert(&mut self, intent: Arc<Intent>, hash: Hashed) {
        let life = Life::Open(Open::new(intent, 0));
        let at = match self.oldest(Ring::Vacant) {
            Some(at) => at,
            None => self.add(),
        };
        let slot = self.at_mut(at);
        (slot.hash, slot.life) = (hash, life);
        self.move_to(at, Ring::Fresh);
        self.index.insert(hash, at);
    }

    /// Opens a key again under which numbers up to `last` were used.
    pub(super) fn reopen(&mut self, at: u32, intent: Arc<Intent>, last: u32) {
        self.at_mut(at).life = Life::Open(Open::new(intent, last));
        self.move_to(at, Ring::Fresh);
    }

    /// Ends an open key, with its answer or free without one.
    pub(super) fn end(&mut self, at: u32, answer: Option<Class>, reply: Option<Bytes>, now: SystemTime) {
        let life = &mut self.slots[at as usize].life;
        *life = match mem::replace(life, Life::Vacant) {
            Life::Open(open) => Life::Ended(Past::of(open, answer, reply, now, &mut self.room)),
            other => other,
        };
        self.move_to(at, Ring::Ended);
    }

    /// Forgets the key of a slot.
    pub(super) fn remove(&mut self, at: u32) {
        let slot = self.at_mut(at);
        slot.life = Life::Vacant;
        let hash = slot.hash;
        self.index.remove(hash, at);
        self.move_to(at, Ring::Vacant);
    }

    /// Makes a slot the newest of another ring.
    pub(super) fn move_to(&mut self, at: u32, ring: Ring) {
        let Slot { previous, next, .. } = *self.at(at);
        self.at_mut(previous).next = next;
        self.at_mut(next).previous = previous;
        let end = ring as u32;
        let newest = mem::replace(&mut self.at_mut(end).previous, at);
        self.at_mut(newest).next = at;
        let slot = self.at_mut(at);
        (slot.ring, slot.previous, slot.next) = (ring, newest, end);
    }

    fn at(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    fn at_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    /// One more slot, in a ring of its own.
    fn add(&mut self) -> u32 {
        let at = self.slots.len() as u32;
        self.slots.push(Slot {
            ring: Ring::Vacant,
            previous: at,
            next: at,
            hash: Hashed::default(),
            life: Life::Vacant,
        });
        at
    }
}

impl Default for Slots {
    fn default() -> Self {
        let mut slots = Self { index: Index::default(), slots: Vec::new(), room: BytesMut::new() };
        for _ in [Ring::Vacant, Ring::Fresh, Ring::Listed, Ring::Ended] {
            slots.add();
        }
        slots
    }
}

impl Life {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Vacant => None,
            Self::Open(open) => Some(open.intent.key.as_str().as_bytes()),
            Self::Ended(past) => Some(past.key()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(n: u32) -> Arc<Intent> {
        Arc::new(Intent {
            key: format!("key-{n}").parse().unwrap(),
            account: "main".parse().unwrap(),
            detail: "call".into(),
            fence: SystemTime::UNIX_EPOCH,
        })
    }

    fn insert(slots: &mut Slots, n: u32) {
        let hash = slots.find_or_hash(&intent(n).key).unwrap_err();
        slots.insert(intent(n), hash);
    }

    fn ring(slots: &Slots, ring: Ring) -> Vec<u32> {
        let next = |at: &u32| Some(slots.at(*at).next).filter(|next| *next != ring as u32);
        std::iter::successors(slots.oldest(ring), next).collect()
    }

    #[test]
    fn every_key_is_found_and_the_slots_of_those_that_went_are_used_again() {
        let mut slots = Slots::default();
        for round in 0..3 {
            let keys = round * 1_000..(round + 1) * 1_000;
            keys.clone().for_each(|n| insert(&mut slots, n));
            for n in keys.clone() {
                let at = slots.find(&intent(n).key).unwrap();
                assert_eq!(slots.life(at).key(), Some(intent(n).key.as_str().as_bytes()));
            }
            assert_eq!((slots.len(), slots.slots.len()), (1_000, 1_004));
            for n in keys.clone() {
                let at = slots.find(&intent(n).key).unwrap();
                slots.remove(at);
            }
            assert!(keys.clone().all(|n| slots.find(&intent(n).key).is_none()));
        }
        assert_eq!((slots.len(), ring(&slots, Ring::Vacant).len()), (0, 1_000));
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 80, "{}", size_of::<Slot>());
    }

    #[test]
    fn rings_keep_the_order_in_which_they_were_joined() {
        let mut slots = Slots::default();
        (0..4).for_each(|n| insert(&mut slots, n));
        let at: Vec<u32> = (0..4).map(|n| slots.find(&intent(n).key).unwrap()).collect();
        for n in [2, 0, 3] {
            slots.end(at[n], None, None, SystemTime::UNIX_EPOCH);
        }
        slots.reopen(at[0], intent(0), 0);
        assert_eq!(ring(&slots, Ring::Ended), [at[2], at[3]]);
        assert_eq!(ring(&slots, Ring::Fresh), [at[1], at[0]]);
        assert_eq!((slots.ring(at[2]), slots.ring(at[0])), (Ring::Ended, Ring::Fresh));
    }
}

//! Numbers found by name: which slot holds a key, which place a call.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Maps names to numbers and keeps no name: who asks says which number has it.
#[derive(Default)]
pub(super) struct Index {
    places: HashTable<Place>,
    /// Not SipHash: names are the caller's own or a provider's, and the seed is the process's.
    hasher: DefaultHashBuilder,
}

/// The hash lies beside the number, so that the index grows without a look at the names.
struct Place {
    hash: Hashed,
    number: u32,
}

/// What the index wants to know of a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hashed(u32);

impl Index {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn hash(&self, name: impl Hash) -> Hashed {
        Hashed((self.hasher.hash_one(name) >> 32) as u32)
    }

    /// The number of a name, which `has` knows by its number.
    pub(super) fn find(&self, hash: Hashed, has: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.places.find(hash.spread(), |place| place.hash == hash && has(place.number));
        place.map(|place| place.number)
    }

    /// Takes in a name that is not there yet.
    pub(super) fn insert(&mut self, hash: Hashed, number: u32) {
        self.places.insert_unique(hash.spread(), Place { hash, number }, |place| place.hash.spread());
    }

    pub(super) fn remove(&mut self, hash: Hashed, number: u32) {
        if let Ok(place) = self.places.find_entry(hash.spread(), |place| place.number == number) {
            place.remove();
        }
    }
}

impl Hashed {
    /// The table wants the low bits and the highest seven.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

//! Which keys stood further up in a file.

use sha2::{Digest, Sha256};
use trunkline_core_types::IdempotencyKey;

/// Keys remembered; the journal knows the others.
const MAX: usize = 1 << 20;
const SHARD_BITS: u32 = 12;

/// 64 bits of each key's SHA-256, sorted, in shards that are short enough to insert into. 8 to 16 bytes a key.
///
/// Two different keys look the same once in some 30 million files of a million rows; the later row is reported as a duplicate then.
pub(super) struct Seen {
    shards: Vec<Vec<u64>>,
    count: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { shards: vec![Vec::new(); 1 << SHARD_BITS], count: 0 }
    }

    /// Whether the key is new; it is not from now on, as long as there is room.
    pub(super) fn is_new(&mut self, key: &IdempotencyKey) -> bool {
        let hash = Sha256::digest(key.as_str().as_bytes());
        let print = hash.iter().take(8).fold(0, |print, &byte| print << 8 | u64::from(byte));
        let shard = &mut self.shards[(print >> (u64::BITS - SHARD_BITS)) as usize];
        match shard.binary_search(&print) {
            Ok(_) => false,
            Err(at) => {
                if self.count < MAX {
                    shard.insert(at, print);
                    self.count += 1;
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once() {
        let mut seen = Seen::new();
        let key = |n: u32| format!("row-{n}").parse().unwrap();
        assert!((0..20_000).all(|n| seen.is_new(&key(n))));
        assert!((0..20_000).all(|n| !seen.is_new(&key(n))));
        assert!(seen.is_new(&key(20_000)));
    }
}

//! Versions for stores that have none: a counter that moves when the key does.

use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;
use trunkline_core_types::{Key, KeyError, KeySet};

/// Numbers the keys of one store: `env-1`, `env-2`. A counter tells nothing about the value, where a short hash of a weak secret
/// would let anyone who reads a log try words against it.
#[derive(Debug)]
pub(crate) struct Counted {
    prefix: &'static str,
    last: Mutex<(u64, Option<Key>)>,
}

impl Counted {
    pub(crate) fn new(prefix: &'static str) -> Self {
        Self { prefix, last: Mutex::new((0, None)) }
    }

    /// The key of this value and id, under the last version if neither changed.
    pub(crate) fn key(&self, value: SecretString, id: Option<&str>) -> Result<KeySet, KeyError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let candidate = Key::new(value, format!("{}-{}", self.prefix, last.0 + 1))?;
        if let Some(known) = &last.1
            && known.expose() == candidate.expose()
            && known.id() == id
        {
            return Ok(KeySet::single(known.clone()));
        }
        let key = match id {
            Some(id) => candidate.with_id(id),
            None => candidate,
        };
        *last = (last.0 + 1, Some(key.clone()));
        Ok(KeySet::single(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_moves_with_value_or_id_and_tells_neither() {
        let counted = Counted::new("env");
        let version = |value: &str, id| counted.key(value.into(), id).unwrap().current.version().to_owned();
        assert_eq!(version("a", None), "env-1");
        assert_eq!(version("a", None), "env-1");
        assert_eq!(version("a", Some("user")), "env-2");
        assert_eq!(version("b", Some("user")), "env-3");
        assert_eq!(version("a", None), "env-4");
    }
}

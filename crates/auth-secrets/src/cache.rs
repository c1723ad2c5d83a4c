//! One cache around any store: fetched once for all callers, refreshed ahead, stale only while the store is out.

mod core;
mod flight;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use trunkline_core_types::{BoxFuture, KeyError, KeyProvider, KeySet};

use self::core::Core;
pub use self::settings::CacheSettings;

/// Keeps the key of any [`KeyProvider`]. Cheap to clone; clones share the key.
///
/// * **Hit**: a key younger than its hard TTL is served at once, without a lock.
/// * **Refresh ahead**: past the soft TTL the next caller starts a fetch in the background and is served the key in hand.
/// * **Single flight**: there is at most one fetch, and all who have no key wait for the same one. It runs in a task of its own, which
///   this cache owns: it goes on when its first caller is dropped, and is aborted when the last clone of the cache is. One whose
///   runtime stands still is given up when two reads would be over: the next caller starts another.
/// * **Outage** (`Unavailable`, `Timeout`): the last good key is served until its hard TTL.
/// * **Revocation**: any other failure drops the key at once; it is never served stale.
/// * **Negative cache**: a failure is the answer to all callers until the next fetch may start: after 1 s, doubled at each further
///   failure up to 10 s, up to a tenth less by chance.
/// * **`invalidate`** drops the key if it has that version and forces one fetch, at most once per 30 s for each version; called again
///   within them it lets the first hit after them refresh. A fetch that was under way and brings that version back is repeated once.
///   A store that still has the version is looked at again by the first hit after 1 s, 2 s, 4 s and so on up to the soft TTL, since a
///   rotation may reach the provider first.
/// * A key's own `not_after` shortens both TTLs; a key past it is `Invalid`.
///
/// Needs a tokio runtime; without one a miss is `Unavailable`.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use trunkline_auth_secrets::{CacheSettings, CachedKeys, FileKeys};
///
/// let file = Arc::new(FileKeys::new("/run/secrets/voice-api-key"));
/// let settings = CacheSettings::default().with_soft_ttl(Duration::from_secs(30));
/// let keys = CachedKeys::new(file, settings)?;
/// # drop(keys);
/// # Ok::<(), trunkline_core_types::InputError>(())
/// ```
#[derive(Clone)]
pub struct CachedKeys(Arc<Owner>);

/// Ends the fetch with the cache.
struct Owner(Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CachedKeys {
    /// A cache around `store`. Nothing is fetched before the first call: call `keys` at start-up to fail there.
    ///
    /// # Errors
    /// `soft_ttl` if it is zero or longer than the hard TTL; `fetch_timeout` if it is zero.
    pub fn new(
        store: Arc<dyn KeyProvider>,
        settings: CacheSettings,
    ) -> Result<Self, trunkline_core_types::InputError> {
        settings.check()?;
        Ok(Self(Arc::new(Owner(Core::new(store, settings.bounded())))))
    }
}

impl KeyProvider for CachedKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        match self.0.0.hit_now() {
            Some(keys) => Box::pin(std::future::ready(Ok(KeySet::clone(&keys)))),
            None => Box::pin(self.0.0.wait(deadline)),
        }
    }

    fn in_hand(&self, now: Instant) -> Option<Arc<KeySet>> {
        self.0.0.hit(now)
    }

    fn invalidate(&self, version: &str) {
        self.0.0.invalidate(version);
    }

    fn backend(&self) -> &'static str {
        self.0.0.backend()
    }
}

impl fmt::Debug for CachedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CachedKeys").field(&self.0.0).finish()
    }
}

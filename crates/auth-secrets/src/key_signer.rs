//! What all signers share: one origin, one key, what was made of it, and which versions a 401 has already dropped.

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use trunkline_core_types::{BoxFuture, Key, KeyError, KeyErrorKind, KeyProvider, KeySet, Origin, Sign};

use crate::sync::{ArcSwapOption, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

/// How many refused versions are remembered; a key that comes back after this many others may be retried once more.
const REMEMBERED: usize = 16;

/// What a signer makes of a key, and how that goes on a request.
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderValue, Request};
/// use trunkline_auth_secrets::Scheme;
/// use trunkline_core_types::{Key, KeyError, KeyErrorKind};
///
/// /// `X-Api-Key: <key>`.
/// enum ApiKey {}
///
/// impl Scheme for ApiKey {
///     type Made = HeaderValue;
///
///     fn make(key: &Key) -> Result<HeaderValue, KeyError> {
///         let mut value = HeaderValue::from_str(key.expose())
///             .map_err(|_| KeyError::new(KeyErrorKind::Invalid, "the key cannot be a header; store printable text"))?;
///         value.set_sensitive(true);
///         Ok(value)
///     }
///
///     fn put(made: &HeaderValue, request: &mut Request<Bytes>) -> Result<(), KeyError> {
///         request.headers_mut().insert("x-api-key", made.clone());
///         Ok(())
///     }
/// }
/// ```
pub trait Scheme: 'static {
    /// Kept for as long as the key's version stays. Its `Debug`, if any, is never printed.
    type Made: Send + Sync + 'static;

    /// Built once per version of the key.
    ///
    /// # Errors
    /// `Invalid` if the scheme cannot carry the key; the text never holds it.
    fn make(key: &Key) -> Result<Self::Made, KeyError>;

    /// Puts it on a request, replacing what was there.
    ///
    /// # Errors
    /// A [`KeyError`]; the request is not sent then.
    fn put(made: &Self::Made, request: &mut Request<Bytes>) -> Result<(), KeyError>;
}

/// Signs requests to one origin, and to no other, with one key under a [`Scheme`].
///
/// A 401 drops the version that signed, once (the last 16 versions are remembered), and once more if it was accepted in between: a
/// provider that fails for a moment must not spoil the rotation that comes after. One that comes late, to a key that was asked for
/// before that version was dropped or another one signed, drops nothing; asking again helps, because the next signature is made with
/// another key or with one that was fetched anew. `Debug` shows the origin and no key.
pub struct KeySigner<S: Scheme> {
    origin: Origin,
    keys: Arc<dyn KeyProvider>,
    made: ArcSwapOption<Made<S::Made>>,
    refused: Mutex<VecDeque<Arc<str>>>,
    /// Whether a success would tell us something: a version was dropped, and nothing was accepted since.
    suspect: AtomicBool,
    /// How many versions were dropped. Read before a key is asked for, it tells whether that key may be from before a drop.
    drops: AtomicU64,
    next: AtomicU64,
}

struct Made<T> {
    version: Arc<str>,
    value: T,
    /// No two have the same.
    number: u64,
}

impl<S: Scheme> KeySigner<S> {
    /// A signer for this origin with this key.
    pub fn new(origin: Origin, keys: Arc<dyn KeyProvider>) -> Self {
        Self {
            origin,
            keys,
            made: ArcSwapOption::empty(),
            refused: Mutex::default(),
            suspect: AtomicBool::new(false),
            drops: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Hands on what the scheme makes of this key, once per version.
    fn with_made<T>(
        &self,
        key: &Key,
        then: impl FnOnce(&Made<S::Made>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        if let Some(made) = self.made.load().as_ref()
            && *made.version == *key.version()
        {
            return then(made);
        }
        let value = S::make(key)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let made = Arc::new(Made { version: key.version().into(), value, number });
        self.made.store(Some(made.clone()));
        // One that was refused and came back may be accepted by now.
        if self.lock().contains(&made.version) {
            self.suspect.store(true, Ordering::Relaxed);
        }
        then(&made)
    }

    /// The number of the key that is now on the request.
    fn put(&self, keys: &KeySet, request: &mut Request<Bytes>) -> Result<u64, KeyError> {
        self.with_made(&keys.current, |made| S::put(&made.value, request).map(|()| made.number))
    }

    /// Whether another try may have another key.
    fn refused(&self, signed: u64) -> bool {
        let mut refused = self.lock();
        let made = self.made.load();
        let Some(made) = made.as_ref() else { return false };
        let drops = self.drops.load(Ordering::Relaxed);
        if signed != epoch(drops, made.number) {
            return true;
        }
        if refused.contains(&made.version) {
            #[cfg(trunkline_mutation)]
            if trunkline_core_types::Mutation::RefusedKeyAgain.is_on() {
                return true;
            }
            return false;
        }
        if refused.len() == REMEMBERED {
            refused.pop_front();
        }
        refused.push_back(made.version.clone());
        self.suspect.store(true, Ordering::Relaxed);
        // In this order and under the lock: whoever reads the new number asks for a key after the old one was dropped.
        self.keys.invalidate(&made.version);
        self.drops.store(drops + 1, Ordering::Release);
        true
    }

    fn accepted(&self) {
        let mut refused = self.lock();
        if let Some(made) = self.made.load().as_ref() {
            refused.retain(|version| *version != made.version);
        }
        self.suspect.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, request: &Request<Bytes>) -> Result<(), KeyError> {
        if self.origin.serves(request.uri()) && self.is_own_host(request.headers()) {
            return Ok(());
        }
        let bound = format!("the signer is bound to {} and signs nothing else; check base_url", self.origin);
        Err(KeyError::new(KeyErrorKind::WrongOrigin, bound))
    }

    /// A `Host` of its own would route the credential elsewhere behind a shared front end.
    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        // Looked through first, since hashing the name takes longer than comparing the few there are.
        headers.keys().all(|name| name != header::HOST)
            || headers.get_all(header::HOST).iter().all(|host| self.is_own(host.as_bytes()))
    }

    fn is_own(&self, host: &[u8]) -> bool {
        host.eq_ignore_ascii_case(self.origin.authority().as_bytes())
            || host
                .strip_prefix(self.origin.host().as_bytes())
                .is_some_and(|rest| rest == self.explicit_port())
    }

    fn explicit_port(&self) -> Vec<u8> {
        format!(":{}", self.origin.port()).into_bytes()
    }
}

impl<S: Scheme> Sign for KeySigner<S> {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(async move {
            self.check(request)?;
            let keys = self.keys.keys(deadline).await?;
            self.put(&keys, request).map(|_| ())
        })
    }

    fn sign_at_once(&self, request: &mut Request<Bytes>, now: Instant) -> Option<Result<u64, KeyError>> {
        if let Err(error) = self.check(request) {
            return Some(Err(error));
        }
        let drops = self.drops.load(Ordering::Acquire);
        let keys = self.keys.in_hand(now)?;
        Some(self.put(&keys, request).map(|number| epoch(drops, number)))
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.keys.in_hand(now).is_some()
    }

    fn warm<'a>(&'a self, request: &'a Request<Bytes>, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // A request that will not be signed needs no key.
            if self.check(request).is_ok()
                && let Ok(keys) = self.keys.keys(deadline).await
            {
                let _ = self.with_made(&keys.current, |_| Ok(()));
            }
        })
    }

    /// Before the first key it is that of the first one.
    fn epoch(&self) -> u64 {
        let drops = self.drops.load(Ordering::Acquire);
        epoch(drops, self.made.load().as_ref().map_or(0, |made| made.number))
    }

    fn learn(&self, signed: u64, status: StatusCode, _: &HeaderMap) -> bool {
        if status == StatusCode::UNAUTHORIZED {
            return self.refused(signed);
        }
        if status.is_success() && self.suspect.load(Ordering::Relaxed) {
            self.accepted();
        }
        false
    }
}

/// Another one after each drop and for each key; none comes twice.
fn epoch(drops: u64, number: u64) -> u64 {
    (drops << 32).wrapping_add(number)
}

impl<S: Scheme> fmt::Debug for KeySigner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySigner")
            .field("origin", &self.origin)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// A header value that no log of headers prints.
pub(crate) fn sensitive(text: &[u8]) -> Result<HeaderValue, KeyError> {
    let mut value = HeaderValue::from_bytes(text).map_err(|_| {
        KeyError::new(KeyErrorKind::Invalid, "the key cannot be a header; store printable text")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

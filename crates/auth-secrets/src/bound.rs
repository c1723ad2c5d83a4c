//! What all signers share: one origin, one key, what was made of it, and which versions a 401 has already dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use trunkline_core_types::{Key, KeyError, KeyErrorKind, KeyProvider, Origin};

/// How many refused versions are remembered; a key that comes back after this many others may be retried once more.
const REMEMBERED: usize = 16;

/// A key bound to an origin, with the `T` that a signer makes of it kept for as long as the version stays.
#[derive(Debug)]
pub(crate) struct Bound<T> {
    origin: Origin,
    keys: Arc<dyn KeyProvider>,
    made: ArcSwapOption<Made<T>>,
    refused: Mutex<VecDeque<Arc<str>>>,
}

#[derive(Debug)]
pub(crate) struct Made<T> {
    version: Arc<str>,
    pub(crate) value: T,
}

impl<T> Bound<T> {
    pub(crate) fn new(origin: Origin, keys: Arc<dyn KeyProvider>) -> Self {
        Self { origin, keys, made: ArcSwapOption::empty(), refused: Mutex::default() }
    }

    /// What `make` makes of the current key, for a request to this origin and to no other.
    pub(crate) async fn made(
        &self,
        request: &Request<Bytes>,
        deadline: Instant,
        make: fn(&Key) -> Result<T, KeyError>,
    ) -> Result<Arc<Made<T>>, KeyError> {
        self.check(request)?;
        let key = self.keys.keys(deadline).await?.current;
        if let Some(made) = &*self.made.load()
            && *made.version == *key.version()
        {
            return Ok(made.clone());
        }
        let made = Arc::new(Made { version: key.version().into(), value: make(&key)? });
        self.made.store(Some(made.clone()));
        Ok(made)
    }

    fn check(&self, request: &Request<Bytes>) -> Result<(), KeyError> {
        // A `Host` of its own would route the credential elsewhere behind a shared front end.
        let host = request.headers().get(header::HOST);
        let same_host = host.is_none_or(|host| {
            let bare = self.origin.host().as_bytes();
            host.as_bytes().eq_ignore_ascii_case(self.origin.authority().as_bytes())
                || host.as_bytes().strip_prefix(bare).is_some_and(|rest| rest == self.explicit_port())
        });
        if self.origin.serves(request.uri()) && same_host {
            return Ok(());
        }
        let bound = format!("the signer is bound to {} and signs nothing else; check base_url", self.origin);
        Err(KeyError::new(KeyErrorKind::WrongOrigin, bound))
    }

    fn explicit_port(&self) -> Vec<u8> {
        format!(":{}", self.origin.port()).into_bytes()
    }

    /// Drops the version that signed last after a 401: true the first time, false for a version dropped before.
    pub(crate) fn learn(&self, status: StatusCode) -> bool {
        let made = self.made.load();
        let Some(made) = made.as_ref().filter(|_| status == StatusCode::UNAUTHORIZED) else { return false };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.contains(&made.version) {
            return false;
        }
        if refused.len() == REMEMBERED {
            refused.pop_front();
        }
        refused.push_back(made.version.clone());
        drop(refused);
        self.keys.invalidate(&made.version);
        true
    }
}

//! The seam of the request path: every layer takes an attempt and gives an outcome.

use std::fmt::Debug;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use crate::{Attempt, BoxFuture, KeyError, Outcome};

/// Sends an attempt. A decorator implements it around another; the leaf is the HTTP client.
pub trait HttpService: Debug + Send + Sync + 'static {
    /// Sends the attempt and tells what is known of it. Dropping the future gives the attempt up; its evidence says what that means.
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome>;

    /// Does ahead what `send` would wait for (key fetched, connection up); failures show in `send`. Passed down by every decorator.
    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()>;
}

/// How a credential reaches a request, also one whose value never leaves its store.
///
/// A signer is bound to one origin and never signs for another; the body signature comes last.
pub trait Sign: Debug + Send + Sync + 'static {
    /// Puts the credential on the request, waiting for a key no longer than `deadline`.
    ///
    /// # Errors
    /// A [`KeyError`]; the request must not be sent then.
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>>;

    /// Does what `sign` does, if nothing has to be waited for at `now`, which is what the clock has just said, and tells the epoch of the key
    /// that signed. Default: `None`, upon which callers wait for `sign`.
    fn sign_at_once(&self, request: &mut Request<Bytes>, now: Instant) -> Option<Result<u64, KeyError>> {
        let _ = (request, now);
        None
    }

    /// Whether `sign_at_once` would sign at `now`, so that there is nothing to warm. Default: false.
    fn is_ready(&self, now: Instant) -> bool {
        let _ = now;
        false
    }

    /// Does ahead what `sign` would wait for; a failure shows in `sign`. Default: signs a copy, which it drops.
    fn warm<'a>(&'a self, request: &'a Request<Bytes>, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut copy = request.clone();
            let _ = self.sign(&mut copy, deadline).await;
        })
    }

    /// Another number for each key that signs, and after each drop of one. Read before `sign`, it tells `learn` whether the key is still the same; `sign_at_once` tells
    /// it itself. Default: 0.
    fn epoch(&self) -> u64 {
        0
    }

    /// Learns from the reply to a request that was signed in this epoch, or after it was read; only of a 401 is the epoch reliable. True if
    /// it was a 401 and asking again may help: the key that signed is dropped now, for the first time and once per version, or it was before
    /// and the next signature has another one or one fetched anew. A key that came since is not the one refused.
    fn learn(&self, epoch: u64, status: StatusCode, headers: &HeaderMap) -> bool {
        let _ = (epoch, status, headers);
        false
    }
}

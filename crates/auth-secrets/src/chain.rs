//! Several signers on one request, the body signature last.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline_core_types::{BoxFuture, KeyError, Sign};

/// A credential and further signers, run in the order they were added, then the body signature whenever it was added.
///
/// The first failure ends the chain, and the request must not be sent. `learn` asks all of them and is true if one of them is.
#[derive(Debug, Clone)]
pub struct Signers {
    headers: Vec<Arc<dyn Sign>>,
    body: Option<Arc<dyn Sign>>,
}

impl Signers {
    /// The epoch of no key: one of the chain's keys is another by now.
    const PAST: u64 = u64::MAX;

    /// A chain that begins with this signer; there is none without one, so that no request goes out unsigned by mistake.
    pub fn new(first: impl Sign) -> Self {
        Self { headers: vec![Arc::new(first)], body: None }
    }

    /// Adds a signer after those there are, before the body signature.
    #[must_use]
    pub fn and(mut self, next: impl Sign) -> Self {
        self.headers.push(Arc::new(next));
        self
    }

    /// Sets the signer of the body, which always comes last. Default: none.
    #[must_use]
    pub fn with_body_signature(mut self, last: impl Sign) -> Self {
        self.body = Some(Arc::new(last));
        self
    }

    fn in_order(&self) -> impl Iterator<Item = &Arc<dyn Sign>> {
        self.headers.iter().chain(&self.body)
    }

    /// Each has to hear of it: any of them may hold the key that was refused, or go by the headers.
    fn tell(&self, epoch: impl Fn(usize) -> u64, status: StatusCode, headers: &HeaderMap) -> bool {
        self.in_order()
            .enumerate()
            .fold(false, |learned, (number, signer)| signer.learn(epoch(number), status, headers) | learned)
    }
}

impl Sign for Signers {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(async move {
            for signer in self.in_order() {
                signer.sign(request, deadline).await?;
            }
            Ok(())
        })
    }

    fn sign_at_once(&self, request: &mut Request<Bytes>, now: Instant) -> Option<Result<u64, KeyError>> {
        let mut epoch = 0_u64;
        for signer in self.in_order() {
            // Whoever then waits for `sign` has every header replaced.
            match signer.sign_at_once(request, now)? {
                Ok(signed) => epoch = epoch.wrapping_add(signed),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(epoch))
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.in_order().all(|signer| signer.is_ready(now))
    }

    fn warm<'a>(&'a self, request: &'a Request<Bytes>, deadline: Instant) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for signer in self.in_order() {
                signer.warm(request, deadline).await;
            }
        })
    }

    fn epoch(&self) -> u64 {
        self.in_order().map(|signer| signer.epoch()).fold(0, u64::wrapping_add)
    }

    fn learn(&self, epoch: u64, status: StatusCode, headers: &HeaderMap) -> bool {
        // Only a 401 is about a key.
        if status != StatusCode::UNAUTHORIZED {
            return self.tell(|_| Self::PAST, status, headers);
        }
        // Read once: one read anew would be taken for that of the key that was refused.
        let now: Vec<_> = self.in_order().map(|signer| signer.epoch()).collect();
        let same = now.iter().copied().fold(0, u64::wrapping_add) == epoch;
        self.tell(|number| if same { now[number] } else { Self::PAST }, status, headers)
    }
}

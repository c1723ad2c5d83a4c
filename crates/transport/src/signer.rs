//! The signer layer: a fresh credential on every attempt, and one more chance after a 401 on a rotated key.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, ClockExt, FailureKind, HttpService, KeyError,
    KeyErrorKind, Outcome, Scope, Sign,
};

/// Signs every attempt; an attempt without a key is not sent. A signer that keeps to no deadline is held to that of the attempt.
#[derive(Debug)]
pub struct Signer {
    inner: Arc<dyn HttpService>,
    sign: Arc<dyn Sign>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// A signer layer around `inner`.
    pub fn new(inner: Arc<dyn HttpService>, sign: Arc<dyn Sign>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, sign, clock }
    }

    async fn signed(&self, mut attempt: Attempt) -> Outcome {
        let now = attempt.at(&*self.clock);
        let signed = match self.sign.sign_at_once(attempt.request_mut(), now) {
            Some(signed) => signed,
            // Boxed, since most attempts find the key in hand.
            None => Box::pin(self.wait(&mut attempt)).await,
        };
        let epoch = match signed {
            Ok(epoch) => epoch,
            Err(error) => return Outcome::unsent(no_key(error)),
        };
        let evidence = attempt.evidence().clone();
        let mut outcome = self.inner.send(attempt).await;
        let Ok(reply) = &outcome.result else { return outcome };
        let dropped = self.sign.learn(epoch, reply.status(), reply.headers());
        if dropped
            && reply.status() == StatusCode::UNAUTHORIZED
            && outcome.class == Class::Rejected(Scope::Account)
        {
            evidence.settle(Class::Deferred);
            outcome.class = Class::Deferred;
            // The next attempt fetches the key anew; there is nothing else to wait for.
            outcome.wait = Some(Duration::ZERO);
        }
        outcome
    }

    /// Signs once the key is there, in the epoch of then or a later one.
    async fn wait(&self, attempt: &mut Attempt) -> Result<u64, KeyError> {
        let epoch = self.sign.epoch();
        let deadline = attempt.deadline().ends_by();
        let signed = self.clock.bounded(deadline, self.sign.sign(attempt.request_mut(), deadline)).await;
        attempt.refresh(&*self.clock);
        let late = "the signer did not end by the attempt's deadline; allow more time or mend it";
        signed.unwrap_or_else(|| Err(KeyError::new(KeyErrorKind::Timeout, late))).map(|()| epoch)
    }
}

fn no_key(error: KeyError) -> AttemptError {
    let kind = FailureKind::Key(error.kind());
    AttemptError::new(kind, "the request could not be signed, so it was not sent; see the cause")
        .with_source(error)
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for Signer {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.signed(attempt))
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        // Its own reading: the attempt's may be from before a wait, and a permit must not age while a key is fetched.
        if self.sign.is_ready(self.clock.now()) {
            return self.inner.warm(attempt);
        }
        Box::pin(async move {
            self.sign.warm(attempt.request(), attempt.wait_until()).await;
            self.inner.warm(attempt).await;
        })
    }
}

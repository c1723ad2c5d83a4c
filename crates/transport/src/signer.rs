//! The signer layer: a fresh credential on every attempt, and one more chance after a 401 on a rotated key.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, FailureKind, HttpService, KeyError, Outcome, Scope, Sign,
};

/// Signs every attempt; an attempt without a key is not sent.
#[derive(Debug)]
pub struct Signer {
    inner: Arc<dyn HttpService>,
    sign: Arc<dyn Sign>,
}

impl Signer {
    /// A signer layer around `inner`.
    pub fn new(inner: Arc<dyn HttpService>, sign: Arc<dyn Sign>) -> Self {
        Self { inner, sign }
    }

    async fn signed(&self, mut attempt: Attempt) -> Outcome {
        let deadline = attempt.deadline().ends_by();
        let signed = match self.sign.sign_at_once(attempt.request_mut()) {
            Some(signed) => signed,
            None => self.sign.sign(attempt.request_mut(), deadline).await,
        };
        if let Err(error) = signed {
            return Outcome::unsent(no_key(error));
        }
        let evidence = attempt.evidence().clone();
        let mut outcome = self.inner.send(attempt).await;
        let Ok(reply) = &outcome.result else { return outcome };
        let dropped = self.sign.learn(reply.status(), reply.headers());
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
        Box::pin(async move {
            if !self.sign.is_ready() {
                self.sign.warm(attempt.request(), attempt.wait_until()).await;
            }
            self.inner.warm(attempt).await;
        })
    }
}

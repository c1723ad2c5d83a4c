//! A call to place and how to place it, and what came of it.

use std::time::Duration;

use trunkline_core_types::{Call, CallRef, IdempotencyKey, InputError, Lane, NewCall};
use trunkline_transport::RetrySettings;

/// A call to place, with everything optional about how. A [`NewCall`] converts into one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Order {
    /// The call.
    pub call: NewCall,
    /// Its one name. Default: a fresh one; give your own (an order number, a row's id) and placing it twice rings once.
    pub key: Option<IdempotencyKey>,
    /// The line it waits in. Default: interactive with `place`, bulk with `place_all`.
    pub lane: Option<Lane>,
    /// The time it has: from `place`, or in bulk from its first permit. A longer one than a day is cut to it. Default: the transport's
    /// total, 30 s.
    pub timeout: Option<Duration>,
    /// How often and after what pauses this call is tried again. Default: the client's.
    pub retry: Option<RetrySettings>,
}

impl Order {
    /// A call placed the default way.
    pub fn new(call: NewCall) -> Self {
        Self { call, key: None, lane: None, timeout: None, retry: None }
    }

    /// Under this key.
    ///
    /// # Errors
    /// [`InputError`] on `idempotency_key`.
    pub fn key(mut self, key: &str) -> Result<Self, InputError> {
        self.key = Some(key.parse()?);
        Ok(self)
    }

    /// In this line.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = Some(lane);
        self
    }

    /// With this much time, all waits and repeats included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tried again so instead of as the client's settings say; the retry budget stays the account's.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn retry(mut self, settings: RetrySettings) -> Result<Self, InputError> {
        settings.check()?;
        self.retry = Some(settings);
        Ok(self)
    }
}

impl From<NewCall> for Order {
    fn from(call: NewCall) -> Self {
        Self::new(call)
    }
}

/// A call that was placed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Placed {
    /// The call's key.
    pub key: IdempotencyKey,
    /// For `get` and `hang_up`; `None` if the provider accepted the call with a reply that cannot be read.
    pub reference: Option<CallRef>,
    /// The call as the provider described it; `None` as above. Look it up by its key then.
    pub call: Option<Call>,
    /// The answer of an earlier `place` under this key: nobody was rung this time.
    pub replayed: bool,
    /// Attempts that counted.
    pub tries: u32,
}

//! One account at one provider: its credentials, its pace, its limits.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{
    AccountId, E164, HttpService, InputError, KeyProvider, Provider, Rate, Sign, WebUrl,
};
use trunkline_transport::{BreakerSettings, BudgetSettings, Dial, TransportSettings};

use crate::callback;

/// One account at one provider. Its stack is built by [`ClientBuilder::build`](crate::ClientBuilder::build).
#[derive(Clone)]
pub struct Account {
    pub(crate) id: AccountId,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) keys: Arc<dyn KeyProvider>,
    pub(crate) signing_keys: Option<Arc<dyn KeyProvider>>,
    pub(crate) signer: Option<Arc<dyn Sign>>,
    pub(crate) from: Option<E164>,
    pub(crate) callback_base: Option<WebUrl>,
    pub(crate) pace: Rate,
    pub(crate) tolerance: Duration,
    pub(crate) in_flight: NonZeroU32,
    pub(crate) live_calls: Option<LiveCalls>,
    pub(crate) queue_bound: Option<Duration>,
    pub(crate) processing_delay: Option<Duration>,
    pub(crate) listing_delay: Option<Duration>,
    pub(crate) transport: TransportSettings,
    pub(crate) retry_budget: BudgetSettings,
    pub(crate) breaker: BreakerSettings,
    pub(crate) dial: Option<Arc<dyn Dial>>,
    pub(crate) service: Option<Arc<dyn HttpService>>,
}

/// The cap on calls that are not over yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveCalls {
    pub(crate) max: NonZeroU32,
    pub(crate) ttl: Duration,
}

const IN_FLIGHT: NonZeroU32 = NonZeroU32::new(64).unwrap();

impl Account {
    /// An account named `id`, at `provider`, with its key. The pace is what the provider gives a new account.
    ///
    /// # Errors
    /// [`InputError`] on `account` if the name is not 1 to 64 of `a-z 0-9 _ -`.
    pub fn new(id: &str, provider: impl Provider, keys: impl KeyProvider) -> Result<Self, InputError> {
        Self::shared(id, Arc::new(provider), Arc::new(keys))
    }

    /// The same with a provider and a key source chosen at run time.
    ///
    /// # Errors
    /// As [`Account::new`].
    pub fn shared(
        id: &str,
        provider: Arc<dyn Provider>,
        keys: Arc<dyn KeyProvider>,
    ) -> Result<Self, InputError> {
        Ok(Self {
            id: id.parse()?,
            pace: provider.profile().default_pace,
            provider,
            keys,
            signing_keys: None,
            signer: None,
            from: None,
            callback_base: None,
            tolerance: Duration::from_millis(50),
            in_flight: IN_FLIGHT,
            live_calls: None,
            queue_bound: None,
            processing_delay: None,
            listing_delay: None,
            transport: TransportSettings::default(),
            retry_budget: BudgetSettings::default(),
            breaker: BreakerSettings::default(),
            dial: None,
            service: None,
        })
    }

    /// The secret of the body signature (`X-Signature`), of requests and of callbacks. Default: none, bodies are not signed and callbacks
    /// refused.
    #[must_use]
    pub fn signing_keys(mut self, keys: impl KeyProvider) -> Self {
        self.signing_keys = Some(Arc::new(keys));
        self
    }

    /// A signer of your own instead of the provider's usual one; the account's keys are not used then.
    #[must_use]
    pub fn signer(mut self, signer: impl Sign) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }

    /// The caller id of calls that name none. Default: the provider's own for the account.
    ///
    /// # Errors
    /// [`InputError`] on `from`.
    pub fn from_number(mut self, from: &str) -> Result<Self, InputError> {
        self.from = Some(from.parse().map_err(|error: InputError| error.of("from"))?);
        Ok(self)
    }

    /// Where the provider sends events of calls that name no callback of their own: an https URL (http on loopback) of at most 1024
    /// characters. The call's key is added to its query as `trunkline_key`, percent-encoded, so every attempt of a call sends the same
    /// bytes, and so the key may stand in your server's logs. What arrives there goes to [`Webhooks::accept`](crate::Webhooks::accept)
    /// with this account's name: give each account a path of its own. Default: none, no events.
    ///
    /// # Errors
    /// [`InputError`] on `callback_base`.
    pub fn callback_base(mut self, url: &str) -> Result<Self, InputError> {
        self.callback_base = Some(callback::base(url)?);
        Ok(self)
    }

    /// Starts a second. Default: the provider's for a new account. Above the provider's ceiling `build` refuses it.
    #[must_use]
    pub fn pace(mut self, pace: Rate) -> Self {
        self.pace = pace;
        self
    }

    /// How much later than its slot a call may start; part of the bound on the pace. Default 50 ms, 1 ms to 10 s.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Creates under way at once, which is the cap on sockets too. Default 64.
    #[must_use]
    pub fn in_flight(mut self, max: NonZeroU32) -> Self {
        self.in_flight = max;
        self
    }

    /// Calls that are not over yet. A lease ends after `ttl` by itself. Default: no cap.
    #[must_use]
    pub fn live_calls(mut self, max: NonZeroU32, ttl: Duration) -> Self {
        self.live_calls = Some(LiveCalls { max, ttl });
        self
    }

    /// How long a call may wait at the provider before its phone rings, as callbacks tell it. A longer wait takes the account's pace to three
    /// quarters, down to a tenth, at most once in the time that the queue needs to drain (1 s to 60 s); each 10 s without one bring a tenth
    /// back. Default: none, the pace stays; a few seconds are a good bound. It needs callbacks of the ringing.
    #[must_use]
    pub fn queue_bound(mut self, bound: Duration) -> Self {
        self.queue_bound = Some(bound);
        self
    }

    /// How long after its last byte a create may still be acted on. A reconcile waits for it after a call's time is over: too short, and it
    /// says of somebody that he was not rung who still will be. Default:
    /// [`Profile::processing_delay`](crate::Profile::processing_delay), what the provider documents.
    #[must_use]
    pub fn processing_delay(mut self, delay: Duration) -> Self {
        self.processing_delay = Some(delay);
        self
    }

    /// How long after that a call may still be missing from a listing; as above. Default:
    /// [`Profile::listing_delay`](crate::Profile::listing_delay).
    #[must_use]
    pub fn listing_delay(mut self, delay: Duration) -> Self {
        self.listing_delay = Some(delay);
        self
    }

    /// Times, bounds and trust of its HTTP client.
    #[must_use]
    pub fn transport(mut self, settings: TransportSettings) -> Self {
        self.transport = settings;
        self
    }

    /// What its calls pay for repeats, together. Default: 500 tokens, 14 a repeat, 5 after a throttle; with nothing but failures 35 repeats.
    #[must_use]
    pub fn retry_budget(mut self, settings: BudgetSettings) -> Self {
        self.retry_budget = settings;
        self
    }

    /// When it is cut off because its provider fails. Default: half of at least 20 attempts of a minute, for 30 s and up to a quarter more.
    #[must_use]
    pub fn breaker(mut self, settings: BreakerSettings) -> Self {
        self.breaker = settings;
        self
    }

    /// Connects through this dialler. Default: TCP.
    #[must_use]
    pub fn dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = Some(dial);
        self
    }

    /// Sends through this leaf instead of Trunkline's HTTP client: a `ReqwestService` or `TowerService` (features of those names), or one
    /// of your own. Give it the provider as its judge, or documented refusals read as rejections, and where it cannot connect ahead a
    /// `tolerance` above its time to connect. Of `transport` only `total_timeout` holds then, and `dial` is not used. Default: none.
    #[must_use]
    pub fn service(mut self, leaf: Arc<dyn HttpService>) -> Self {
        self.service = Some(leaf);
        self
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("provider", &self.provider.profile().name)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

//! The Claude-style JSON voice API; `docs/claude-voice-api.md` is its contract.

mod error;
mod request;
mod response;
mod webhook;

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline_core_types::{
    AuthKind, BillingUnit, Call, CallEvent, CallId, Currency, Idempotency, IdempotencyKey, InputError, Judge,
    KeySet, Lookup, NewCall, Operation, Page, Profile, Provider, ProviderError, Rate, Reply, Verdict,
    WebhookError,
};

use request::Endpoint;

/// The Claude-style JSON voice API at one base URL. Building a request allocates the body and little else.
///
/// `POST {base}/v1/calls` with `{"to", "tts" | "audio_url", "from", "retry_policy", "ring_timeout", "max_duration", "callback_url",
/// "tags"}` in this order, absent fields left out, `retry_policy` always `flexible`; the idempotency key travels in
/// `Idempotency-Key`. `Debug` shows the origin.
pub struct ClaudeVoice {
    endpoint: Endpoint,
    profile: Profile,
}

impl ClaudeVoice {
    /// The API at `base_url`: https, or http on loopback, with an optional path prefix of at most 1024 characters. A trailing `/`,
    /// `/v1` or `/v1/` changes nothing.
    ///
    /// ```
    /// use trunkline_core_types::Provider;
    /// use trunkline_providers::ClaudeVoice;
    ///
    /// let voice = ClaudeVoice::new("https://Voice.example.com:443/prefix/v1/")?;
    /// assert_eq!(voice.origin(), "https://voice.example.com");
    /// assert!(ClaudeVoice::new("http://voice.example.com").is_err());
    /// # Ok::<(), trunkline_core_types::InputError>(())
    /// ```
    ///
    /// # Errors
    /// [`InputError`] on `base_url`.
    pub fn new(base_url: &str) -> Result<Self, InputError> {
        Ok(Self { endpoint: Endpoint::new(base_url)?, profile: profile() })
    }

    /// What this server promises, where it differs from the contract: another ceiling, other delays, keys that it does not honour.
    /// **It is believed**: keys that are said to be honoured and are not ring people twice.
    ///
    /// ```
    /// use trunkline_core_types::{Idempotency, Provider};
    /// use trunkline_providers::ClaudeVoice;
    ///
    /// let voice = ClaudeVoice::new("https://voice.example.com")?.promising(|profile| {
    ///     profile.idempotency = Idempotency::No;
    /// });
    /// assert_eq!(voice.profile().idempotency, Idempotency::No);
    /// # Ok::<(), trunkline_core_types::InputError>(())
    /// ```
    #[must_use]
    pub fn promising(mut self, change: impl FnOnce(&mut Profile)) -> Self {
        change(&mut self.profile);
        self
    }

    /// The currency of amounts that come without one. Default: USD.
    #[must_use]
    pub fn currency(mut self, currency: Currency) -> Self {
        self.profile.currency = currency;
        self
    }
}

/// What the contract fixes; idempotency keys are kept 24 h, of which 5 min are left as a margin for clocks and queues. A listing lags by
/// up to 2 s, and a create is acted on within 60 s of its last byte or never.
pub(crate) fn profile() -> Profile {
    let fifty = Rate::per_second(NonZeroU32::MIN.saturating_add(49));
    let mut profile = Profile::new("claude", AuthKind::Bearer, fifty, fifty, BillingUnit::StartedMinute);
    profile.idempotency = Idempotency::Key { window: Duration::from_secs(24 * 3600 - 5 * 60) };
    (profile.listing_delay, profile.processing_delay) = (Duration::from_secs(2), Duration::from_secs(60));
    profile
}

impl Judge for ClaudeVoice {
    fn judge(&self, _: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        error::judge(status, headers, body)
    }
}

impl Provider for ClaudeVoice {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn origin(&self) -> &str {
        self.endpoint.origin()
    }

    fn create(&self, call: &NewCall, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
        request::create(&self.endpoint, call, key)
    }

    fn get(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        request::get(&self.endpoint, id)
    }

    fn hang_up(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        request::hang_up(&self.endpoint, id)
    }

    fn lookup(&self, by: Lookup<'_>) -> Result<Request<Bytes>, ProviderError> {
        match by {
            Lookup::Key(key) => request::lookup_key(&self.endpoint, key),
            Lookup::To { number, created_after } => {
                request::lookup_to(&self.endpoint, number, created_after, None)
            }
            _ => Err(ProviderError::unsupported("this look-up")),
        }
    }

    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError> {
        response::read_call(reply, self.profile.currency)
    }

    fn read_lookup(&self, by: Lookup<'_>, reply: &Reply) -> Result<Vec<Call>, ProviderError> {
        response::read_whole(reply, by, self.profile.currency)
    }

    fn read_page(&self, by: Lookup<'_>, reply: &Reply) -> Result<Page, ProviderError> {
        let (calls, last) = response::read_page(reply, by, self.profile.currency)?;
        match (by, last) {
            (_, None) => Ok(Page::last(calls)),
            (Lookup::To { number, created_after }, Some(last)) => {
                let next = request::lookup_to(&self.endpoint, number, created_after, Some(&last))?;
                Ok(Page::followed_by(calls, next))
            }
            _ => Err(ProviderError::unsupported("a look-up of several pages")),
        }
    }

    fn webhook(
        &self,
        request: &Request<Bytes>,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<CallEvent, WebhookError> {
        webhook::read_webhook(request, keys, now, self.profile.currency)
    }

    fn read_error(&self, reply: &Reply) -> ProviderError {
        error::read_error(reply)
    }
}

impl fmt::Debug for ClaudeVoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaudeVoice({})", self.endpoint.origin())
    }
}

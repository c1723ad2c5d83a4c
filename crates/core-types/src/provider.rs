//! The provider seam: pure functions between neutral calls and a provider's requests and replies.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;

use crate::{
    Call, CallEvent, CallId, Currency, E164, Idempotency, IdempotencyKey, InputError, Judge, KeySet, NewCall,
    Rate, Reply, Source, Timestamp, WebhookError, WebhookErrorKind,
};

/// How a provider authenticates its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKind {
    /// `Authorization: Bearer`, and `X-Signature` over the body where the account has a signing secret.
    Bearer,
    /// `Authorization: Basic`.
    Basic,
}

impl AuthKind {
    /// The words of a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer + X-Signature",
            Self::Basic => "Basic",
        }
    }
}

/// What one unit of the price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BillingUnit {
    /// Each started minute of conversation.
    StartedMinute,
    /// Each call.
    Call,
    /// Each second of conversation.
    Second,
}

impl BillingUnit {
    /// The words of a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartedMinute => "per started minute",
            Self::Call => "per call",
            Self::Second => "per second",
        }
    }
}

/// What is fixed about a provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Profile {
    /// Its name in settings and labels.
    pub name: &'static str,
    /// How it authenticates.
    pub auth: AuthKind,
    /// The most starts it grants anybody.
    pub ceiling: Rate,
    /// What a new account really gets: where the limiter starts.
    pub default_pace: Rate,
    /// The unit of its price.
    pub billing: BillingUnit,
    /// The currency of amounts that come without one. Default: USD.
    pub currency: Currency,
    /// Whether repeating a create under the call's key rings twice.
    pub idempotency: Idempotency,
    /// How long after a create was acted on its call may be missing from a look-up. Default: 60 s.
    pub listing_delay: Duration,
    /// How long after its last byte a create may still be acted on. Default: 10 min. A reconcile that comes earlier proves nothing.
    pub processing_delay: Duration,
}

impl Profile {
    /// A profile; the currency is USD, nothing is idempotent and delays are long until said otherwise.
    pub fn new(
        name: &'static str,
        auth: AuthKind,
        ceiling: Rate,
        default_pace: Rate,
        billing: BillingUnit,
    ) -> Self {
        let (currency, idempotency) = (Currency::USD, Idempotency::No);
        let (listing_delay, processing_delay) = (Duration::from_secs(60), Duration::from_secs(600));
        Self {
            name,
            auth,
            ceiling,
            default_pace,
            billing,
            currency,
            idempotency,
            listing_delay,
            processing_delay,
        }
    }
}

/// What to look a call up by.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Lookup<'a> {
    /// The call's own key.
    Key(&'a IdempotencyKey),
    /// Every call to a number that was created at this time or later.
    To {
        /// Who was rung.
        number: E164,
        /// The earliest creation, by the provider's clock: leave room for clocks that differ.
        created_after: Timestamp,
    },
}

/// One page of the answer to a look-up. `Debug` shows how much it holds.
#[derive(Clone)]
#[non_exhaustive]
pub struct Page {
    /// The calls on it, each with its key where the provider shows it.
    pub calls: Vec<Call>,
    /// The request for the next page, without credentials; `None` on the last one.
    pub next: Option<Request<Bytes>>,
}

impl Page {
    /// The last page.
    pub fn last(calls: Vec<Call>) -> Self {
        Self { calls, next: None }
    }

    /// A page that another one follows.
    pub fn followed_by(calls: Vec<Call>, next: Request<Bytes>) -> Self {
        Self { calls, next: Some(next) }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, more) = (self.calls.len(), self.next.is_some());
        f.debug_struct("Page").field("calls", &calls).field("more", &more).finish()
    }
}

/// A voice API as pure functions. What one cannot do answers [`ProviderErrorKind::Unsupported`] by default.
///
/// Requests come whole, with URL and body, but without credentials: those are the signer's.
pub trait Provider: Judge {
    /// What is fixed about it.
    fn profile(&self) -> &Profile;

    /// Scheme, host and port that its requests go to, and that its signer is bound to: `https://host[:port]`.
    fn origin(&self) -> &str;

    /// The request that places a call. The same call and key always give the same bytes.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Input`] for what this provider cannot place, naming the field.
    fn create(&self, call: &NewCall, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError>;

    /// The request that reads a call.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unsupported`].
    fn get(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        let _ = id;
        Err(ProviderError::unsupported("reading a call"))
    }

    /// The request that hangs up.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unsupported`].
    fn hang_up(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        let _ = id;
        Err(ProviderError::unsupported("hanging up"))
    }

    /// The request that looks a call up.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unsupported`].
    fn lookup(&self, by: Lookup<'_>) -> Result<Request<Bytes>, ProviderError> {
        let _ = by;
        Err(ProviderError::unsupported("looking a call up"))
    }

    /// The call in the reply to a create, a read or a hang-up.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unreadable`], naming the field.
    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError>;

    /// The calls in the reply to a look-up, each checked to be what was asked for: a server that ignores the filter proves nothing, and
    /// neither does a page that is not the last one. An empty answer is the proof that there is no such call.
    ///
    /// # Errors
    /// [`ProviderErrorKind::Unreadable`] or [`ProviderErrorKind::Unsupported`].
    fn read_lookup(&self, by: Lookup<'_>, reply: &Reply) -> Result<Vec<Call>, ProviderError> {
        let _ = (by, reply);
        Err(ProviderError::unsupported("looking a call up"))
    }

    /// One page of the answer to a look-up, checked as in [`Provider::read_lookup`], and the request for the next one. Default: an answer
    /// of one page, so that a longer one is unreadable and proves nothing.
    ///
    /// # Errors
    /// As [`Provider::read_lookup`].
    fn read_page(&self, by: Lookup<'_>, reply: &Reply) -> Result<Page, ProviderError> {
        self.read_lookup(by, reply).map(Page::last)
    }

    /// The event in a callback. The signature is checked first, over the bytes as they came and against the current and the previous
    /// key; then the body is read; then the event's own time is held against `now`. Nothing that is not signed is believed.
    ///
    /// # Errors
    /// [`WebhookErrorKind::Signature`], [`WebhookErrorKind::Unreadable`] or [`WebhookErrorKind::Stale`], in this order; by default
    /// [`WebhookErrorKind::Unsupported`].
    fn webhook(
        &self,
        request: &Request<Bytes>,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<CallEvent, WebhookError> {
        let _ = (request, keys, now);
        Err(WebhookError::new(
            WebhookErrorKind::Unsupported,
            "this provider has no callbacks that are read here",
        ))
    }

    /// What a reply that refuses says.
    fn read_error(&self, reply: &Reply) -> ProviderError;
}

/// Why a provider's request could not be made, or what its reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// This provider cannot place what was asked.
    Input,
    /// This provider has no such request.
    Unsupported,
    /// The reply is not what the contract says.
    Unreadable,
    /// The provider refused: bad request.
    InvalidRequest,
    /// The provider refused: credentials.
    Authentication,
    /// The provider refused: funds.
    Billing,
    /// The provider refused: not allowed.
    Permission,
    /// The provider knows no such thing.
    NotFound,
    /// The idempotency key belongs to another request, or its outcome is open.
    Idempotency,
    /// Too fast.
    RateLimit,
    /// The provider gave up in time.
    Timeout,
    /// The provider failed.
    Api,
    /// The provider is overloaded.
    Overloaded,
    /// A word of the provider that we do not know; see [`ProviderError::code`].
    Other,
}

/// A provider's error, one pointer wide. Its message is the provider's own text with digits of numbers hidden.
#[derive(Clone)]
pub struct ProviderError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ProviderErrorKind,
    message: Box<str>,
    code: Option<Box<str>>,
    field: Option<Box<str>>,
    request_id: Option<Box<str>>,
    source: Option<Source>,
}

impl ProviderError {
    /// An error with a message; runs of seven and more digits in it are masked.
    pub fn new(kind: ProviderErrorKind, message: &str) -> Self {
        let message = mask_numbers(message);
        Self(Box::new(Inner { kind, message, code: None, field: None, request_id: None, source: None }))
    }

    /// What this provider has no request for.
    pub fn unsupported(what: &str) -> Self {
        Self::new(ProviderErrorKind::Unsupported, &format!("{what} is not supported by this provider"))
    }

    /// With the provider's own code.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.0.code = Some(mask_numbers(code));
        self
    }

    /// With the field it is about.
    #[must_use]
    pub fn with_field(mut self, field: &str) -> Self {
        self.0.field = Some(mask_numbers(field));
        self
    }

    /// With the id by which the provider's support finds the request.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.0.request_id = Some(mask_numbers(id).chars().take(128).collect());
        self
    }

    /// What it is about.
    pub fn kind(&self) -> ProviderErrorKind {
        self.0.kind
    }

    /// The provider's own code, as it came.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The field it is about, if one is named.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The provider's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
}

impl From<InputError> for ProviderError {
    fn from(error: InputError) -> Self {
        let mut made = Self::new(ProviderErrorKind::Input, &error.to_string()).with_field(error.field());
        made.0.source = Some(Source::new(error));
        made
    }
}

/// Hides all but the last two digits of every number of seven or more digits, also one written with spaces, dots, dashes or brackets,
/// and bounds the text to 512 characters.
fn mask_numbers(text: &str) -> Box<str> {
    let mut masked: Vec<char> = text.chars().take(512).collect();
    let mut digits = Vec::new();
    for at in 0..=masked.len() {
        match masked.get(at) {
            Some(c) if c.is_ascii_digit() => digits.push(at),
            Some(' ' | '-' | '.' | '(' | ')' | '/') => {}
            _ => {
                let hidden = if digits.len() >= 7 { digits.len() - 2 } else { 0 };
                digits.drain(..).take(hidden).for_each(|at| masked[at] = '*');
            }
        }
    }
    masked.into_iter().collect::<String>().into()
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(code) = &self.0.code {
            write!(f, " ({code})")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("code", &self.0.code)
            .field("field", &self.0.field)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_in_a_provider_s_text_are_masked() {
        let error =
            ProviderError::new(ProviderErrorKind::InvalidRequest, "no route to +14155550123 (code 1234)");
        assert_eq!(error.to_string(), "no route to +*********23 (code 1234)");
        let spaced = ProviderError::new(ProviderErrorKind::Other, "no route to +1 (415) 555-0123");
        assert_eq!(spaced.to_string(), "no route to +* (***) ***-**23");
        assert_eq!(size_of::<ProviderError>(), size_of::<usize>());
    }

    proptest! {
        #[test]
        fn no_number_of_seven_digits_survives(text in "[0-9a-z+ ().-]{0,600}") {
            let masked = mask_numbers(&text);
            let digits = |part: &str| part.chars().filter(char::is_ascii_digit).count();
            let longest = masked.split(|c: char| c.is_ascii_lowercase() || c == '+').map(digits).max();
            prop_assert!(longest.unwrap_or(0) < 7 && masked.chars().count() <= 512);
        }
    }
}

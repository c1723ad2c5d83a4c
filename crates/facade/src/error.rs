//! The facade's error: what is known of the call first, everything else behind it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use trunkline_core_types::{
    AttemptError, Class, IdempotencyKey, InputError, Outcome, ProviderError, ProviderErrorKind, Source,
};

/// What became of an operation that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bad input or settings: nothing was sent.
    Input,
    /// The caller's own check said no: nothing was sent.
    NotAllowed,
    /// The provider will not act.
    Rejected,
    /// Nothing was sent, or the provider proved that it did not act: trying later is safe.
    Unsent,
    /// The phone may have rung. The call stays open in the journal; placing it again under its key dials nobody.
    Ambiguous,
    /// It was done, but the reply cannot be read.
    Unreadable,
}

impl ErrorKind {
    /// A word for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "bad input",
            Self::NotAllowed => "not allowed",
            Self::Rejected => "rejected",
            Self::Unsent => "unsent",
            Self::Ambiguous => "ambiguous",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why an operation did not succeed. One pointer wide and cheap to clone; never holds a key, a whole number or a query string.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    class: Class,
    message: Box<str>,
    field: Option<Box<str>>,
    key: Option<IdempotencyKey>,
    status: Option<StatusCode>,
    wait: Option<Duration>,
    tries: u32,
    provider: Option<ProviderError>,
    source: Option<Source>,
}

impl Error {
    fn build(kind: ErrorKind, class: Class, message: impl Into<Box<str>>) -> Inner {
        let message = message.into();
        Inner {
            kind,
            class,
            message,
            field: None,
            key: None,
            status: None,
            wait: None,
            tries: 0,
            provider: None,
            source: None,
        }
    }

    pub(crate) fn input(error: InputError) -> Self {
        let made = Self::build(ErrorKind::Input, Class::Unsent, error.to_string());
        let field = Some(error.field().into());
        Self(Arc::new(Inner { field, source: Some(Source::new(error)), ..made }))
    }

    pub(crate) fn settings(field: &'static str, problem: &str) -> Self {
        Self::input(InputError::new(field, problem))
    }

    pub(crate) fn not_allowed(reason: &str) -> Self {
        Self(Arc::new(Self::build(ErrorKind::NotAllowed, Class::Unsent, reason)))
    }

    pub(crate) fn unsent(message: &str) -> Self {
        Self(Arc::new(Self::build(ErrorKind::Unsent, Class::Unsent, message)))
    }

    pub(crate) fn ambiguous(message: &str) -> Self {
        Self(Arc::new(Self::build(ErrorKind::Ambiguous, Class::Ambiguous, message)))
    }

    /// Of a call that another caller drove and brought to no end. A try may have been made, so it is no outcome that was left before.
    pub(crate) fn crashed() -> Self {
        let message = "another caller of this key panicked on its way; place again under the key to learn what became of the call";
        let made = Self::build(ErrorKind::Ambiguous, Class::Ambiguous, message);
        Self(Arc::new(Inner { tries: 1, ..made }))
    }

    /// What the provider's pure code could not write or read.
    pub(crate) fn provider(error: ProviderError) -> Self {
        let (kind, class) = match error.kind() {
            ProviderErrorKind::Unreadable => (ErrorKind::Unreadable, Class::Accepted),
            _ => (ErrorKind::Input, Class::Unsent),
        };
        let made = Self::build(kind, class, error.to_string());
        Self(Arc::new(Inner { provider: Some(error.clone()), source: Some(Source::new(error)), ..made }))
    }

    /// An outcome that is not a success; `provider` is what its reply says.
    pub(crate) fn outcome(outcome: &Outcome, provider: Option<ProviderError>) -> Self {
        let kind = match outcome.class {
            Class::Rejected(_) => ErrorKind::Rejected,
            Class::Unsent | Class::Deferred => ErrorKind::Unsent,
            Class::Accepted => ErrorKind::Unreadable,
            _ => ErrorKind::Ambiguous,
        };
        let failure = outcome.result.as_ref().err();
        let message = match (&provider, failure) {
            (Some(provider), _) => provider.to_string(),
            (None, Some(failure)) => failure.to_string(),
            (None, None) => "no more is known".to_owned(),
        };
        let source = match (&provider, failure) {
            (Some(provider), _) => Some(Source::new(provider.clone())),
            (None, failure) => failure.map(|failure| Source::new(AttemptError::clone(failure))),
        };
        let made = Self::build(kind, outcome.class, message);
        let (status, wait, tries) = (outcome.status(), outcome.wait, outcome.tries);
        Self(Arc::new(Inner { status, wait, tries, provider, source, ..made }))
    }

    /// A read without an answer changed nothing.
    pub(crate) fn of_a_read(self) -> Self {
        match self.0.kind {
            ErrorKind::Ambiguous => {
                self.with(|inner| (inner.kind, inner.class) = (ErrorKind::Unsent, Class::Unsent))
            }
            _ => self,
        }
    }

    pub(crate) fn caused_by(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.source = Some(Source::new(source)))
    }

    pub(crate) fn with_key(self, key: &IdempotencyKey) -> Self {
        self.with(|inner| inner.key = Some(key.clone()))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| shared.copy());
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// What became of it, for callers who branch.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The outcome class: the fold of all attempts.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// Whether trying again later is safe and may help.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unsent
    }

    /// Whether a phone may be ringing although no answer came.
    pub fn is_ambiguous(&self) -> bool {
        self.0.kind == ErrorKind::Ambiguous
    }

    /// After what wait to try again, where the provider or the limiter said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.wait
    }

    /// The HTTP status, if a reply came.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// What the provider said, if it did.
    pub fn provider_error(&self) -> Option<&ProviderError> {
        self.0.provider.as_ref()
    }

    /// The provider's id of the request, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.provider.as_ref().and_then(ProviderError::request_id)
    }

    /// The setting or field it is about, if one is named: ours for bad input, the provider's for a rejection.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref().or_else(|| self.0.provider.as_ref()?.field())
    }

    /// The call's key: with it the call can be placed, looked up and reconciled.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        self.0.key.as_ref()
    }

    /// How many attempts counted.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }
}

impl Inner {
    fn copy(&self) -> Self {
        Self {
            message: self.message.clone(),
            field: self.field.clone(),
            key: self.key.clone(),
            provider: self.provider.clone(),
            source: self.source.clone(),
            ..*self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.as_str(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("class", &self.0.class)
            .field("message", &self.0.message)
            .field("status", &self.0.status)
            .field("tries", &self.0.tries)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::input(error)
    }
}

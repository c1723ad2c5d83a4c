//! How an attempt or a call ended.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::{Class, DeniedKind, KeyErrorKind, Reply, Source};

/// How an attempt, or a call with all its attempts, ended. Not a `Result`: a 429 is a reply and a failure at once.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What is known; above the retry layer the fold over all attempts.
    pub class: Class,
    /// The wait that the provider or the limiter asked for.
    pub wait: Option<Duration>,
    /// Attempts that counted; 1 below the retry layer.
    pub tries: u32,
    /// The reply, also one that refuses, or why there is none.
    pub result: Result<Reply, AttemptError>,
}

impl Outcome {
    /// An outcome of one try without a wait.
    pub fn new(class: Class, result: Result<Reply, AttemptError>) -> Self {
        Self { class, wait: None, tries: 1, result }
    }

    /// An attempt that never reached the wire.
    pub fn unsent(error: AttemptError) -> Self {
        Self::new(Class::Unsent, Err(error))
    }

    /// With the wait that was asked for.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait;
        self
    }

    /// The reply's status, if a head came.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.result {
            Ok(reply) => Some(reply.status()),
            Err(error) => error.status(),
        }
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The request cannot be sent as it is: URL without host, forbidden scheme, header too long.
    Request,
    /// The name did not resolve.
    Resolve,
    /// No connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// A pooled connection was dead before a byte left.
    StaleConnection,
    /// The connection broke.
    Connection,
    /// The deadline, the connect time or the read time passed.
    Timeout,
    /// The peer does not speak HTTP/1.1.
    Protocol,
    /// The reply is above the size bound.
    ReplyTooLarge,
    /// The body ended early.
    Truncated,
    /// The permit was older than its tolerance.
    LatePermit,
    /// The account's breaker is open: its provider failed too often just now. Nothing was sent.
    BreakerOpen,
    /// The limiter refused.
    Denied(DeniedKind),
    /// There is no key to sign with.
    Key(KeyErrorKind),
    /// The journal could not note the attempt, so nothing was sent.
    Journal,
    /// The future was dropped, or the client was shut down.
    Dropped,
}

impl FailureKind {
    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::StaleConnection => "stale_connection",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::ReplyTooLarge => "reply_too_large",
            Self::Truncated => "truncated",
            Self::LatePermit => "late_permit",
            Self::BreakerOpen => "breaker_open",
            Self::Denied(_) => "denied",
            Self::Key(_) => "key",
            Self::Journal => "journal",
            Self::Dropped => "dropped",
        }
    }
}

/// Why there is no reply, one pointer wide. Never holds a URL, a number or a key.
#[derive(Clone)]
pub struct AttemptError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: FailureKind,
    message: Box<str>,
    status: Option<StatusCode>,
    source: Option<Source>,
}

impl AttemptError {
    /// An error with a message that says what to do, and never a URL, a number or a key.
    pub fn new(kind: FailureKind, message: impl Into<Box<str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), status: None, source: None }))
    }

    /// With the cause, which is not part of the message.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Source::new(source));
        self
    }

    /// With the status of a head that came before the failure.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// What went wrong, for callers who branch.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The status, if a head came.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.as_str(), self.0.message)
    }
}

impl fmt::Debug for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for AttemptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_and_error_are_one_pointer_wide() {
        let pointer = size_of::<usize>();
        assert_eq!(size_of::<Reply>(), pointer);
        assert_eq!(size_of::<AttemptError>(), pointer);
        assert_eq!(size_of::<crate::Attempt>(), pointer);
    }
}

//! API keys as they reach a signer: one key, its version, and while it rotates the one before.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use crate::{BoxFuture, Source};

/// One key: its value, and the id that travels with it where a scheme has one (user name, account SID).
///
/// `Debug` prints the version and never the value. Cloning shares the value.
#[derive(Clone)]
pub struct Key {
    id: Option<Arc<str>>,
    value: Arc<SecretString>,
    version: Arc<str>,
    not_after: Option<SystemTime>,
}

impl Key {
    /// A key with its value and a version that changes whenever the value does.
    ///
    /// # Errors
    /// [`KeyErrorKind::Invalid`] if the value is empty: an empty secret signs, and proves nothing.
    pub fn new(value: SecretString, version: impl Into<Arc<str>>) -> Result<Self, KeyError> {
        if value.expose_secret().is_empty() {
            return Err(KeyError::new(KeyErrorKind::Invalid, "the key's value is empty; store a value"));
        }
        Ok(Self { id: None, value: Arc::new(value), version: version.into(), not_after: None })
    }

    /// The id that goes with the value, for example the user name of Basic authentication. Default: none.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When the key ends by its issuer's word. Default: unknown.
    #[must_use]
    pub fn with_not_after(mut self, at: SystemTime) -> Self {
        self.not_after = Some(at);
        self
    }

    /// The id, if the scheme has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one door to the value: expose it late and for the smallest scope.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The version: for logs, caches and `invalidate`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// When the key ends, if its issuer said so.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("version", &self.version)
            .field("value", &"[hidden]")
            .finish_non_exhaustive()
    }
}

/// The key to sign with and, while it rotates, the one before it, which still verifies what others signed.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Signs what goes out.
    pub current: Key,
    /// Still accepted on what comes in.
    pub previous: Option<Key>,
}

impl KeySet {
    /// A set of one key, not rotating.
    pub fn single(current: Key) -> Self {
        Self { current, previous: None }
    }
}

/// Where one key comes from: environment, file, Vault, or a cache around any of them.
pub trait KeyProvider: fmt::Debug + Send + Sync + 'static {
    /// The key as it is now, waiting no longer than `deadline`.
    ///
    /// # Errors
    /// A [`KeyError`] whose kind says whether waiting may help.
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>>;

    /// The key as `keys` would give it at `now`, if nothing has to be waited for: what a cache has in hand. `now` is what the clock has
    /// just said to the caller, whose clock is the provider's. Default: none.
    fn in_hand(&self, now: Instant) -> Option<Arc<KeySet>> {
        let _ = now;
        None
    }

    /// The provider refused this version: do not serve it from a cache again.
    fn invalidate(&self, version: &str) {
        let _ = version;
    }

    /// Which kind of store this is, as a metric label from a closed set: `env`, `file`, `static`, `vault`. Default: `other`.
    fn backend(&self) -> &'static str {
        "other"
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyErrorKind {
    /// Nothing is stored under that name.
    Missing,
    /// What is stored cannot be used as a key.
    Invalid,
    /// The store refused us, or the key was revoked or destroyed.
    Denied,
    /// The store did not answer, is sealed or overloaded: later may help.
    Unavailable,
    /// The deadline passed first.
    Timeout,
    /// The request goes to another origin than the signer is bound to.
    WrongOrigin,
}

impl KeyErrorKind {
    /// Whether the store is only out for now: the key may be as good as before, and asking again may help.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }

    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::WrongOrigin => "wrong_origin",
        }
    }
}

/// No key, with what to do about it. Never holds a value of a key.
#[derive(Debug, Clone, thiserror::Error)]
#[error("key {}: {message}", kind.as_str())]
pub struct KeyError {
    kind: KeyErrorKind,
    message: Box<str>,
    source: Option<Source>,
}

impl KeyError {
    /// An error with a message that names the setting and what to do, and never a secret.
    pub fn new(kind: KeyErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with a cause, which must not print a secret either.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Source::new(source));
        self
    }

    /// What went wrong, for callers who branch.
    pub fn kind(&self) -> KeyErrorKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_prints_its_value() {
        let key = Key::new("canary-5c1f".into(), "v1").unwrap().with_id("user");
        assert!(!format!("{key:?} {:?}", KeySet::single(key.clone())).contains("canary"));
        assert_eq!(key.expose(), "canary-5c1f");
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert_eq!(Key::new("".into(), "v1").unwrap_err().kind(), KeyErrorKind::Invalid);
    }
}

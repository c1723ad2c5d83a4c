//! A key in hand: for tests and demos.

use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;
use trunkline_core_types::{BoxFuture, Key, KeyError, KeyProvider, KeySet};

/// A key given as a value, for tests and demos. It never rotates; in production take one of the other providers.
///
/// Its version is `static-1`, that of a previous key `static-0`.
///
/// ```
/// use trunkline_auth_secrets::StaticKeys;
///
/// let keys = StaticKeys::new("demo-key".into())?.with_id("AC00");
/// assert!(!format!("{keys:?}").contains("demo-key"));
/// # Ok::<(), trunkline_core_types::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StaticKeys(Arc<KeySet>);

impl StaticKeys {
    /// The label of this store in facts.
    pub const BACKEND: &str = "static";

    /// A key with this value.
    ///
    /// # Errors
    /// `Invalid` if the value is empty.
    pub fn new(value: SecretString) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(KeySet::single(Key::new(value, "static-1")?))))
    }

    /// The id that goes with the value, for Basic authentication. Default: none.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        let keys = Arc::make_mut(&mut self.0);
        keys.current = keys.current.clone().with_id(id);
        self
    }

    /// The key before, which still verifies what others signed. Default: none.
    ///
    /// # Errors
    /// `Invalid` if the value is empty.
    pub fn with_previous(mut self, value: SecretString) -> Result<Self, KeyError> {
        Arc::make_mut(&mut self.0).previous = Some(Key::new(value, "static-0")?);
        Ok(self)
    }
}

impl KeyProvider for StaticKeys {
    fn keys(&self, _deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(std::future::ready(Ok(KeySet::clone(&self.0))))
    }

    fn in_hand(&self, _now: Instant) -> Option<Arc<KeySet>> {
        Some(self.0.clone())
    }

    fn backend(&self) -> &'static str {
        Self::BACKEND
    }
}

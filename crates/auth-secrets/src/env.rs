//! Keys from environment variables.

use std::env::VarError;
use std::time::Instant;

use trunkline_core_types::{BoxFuture, KeyError, KeyErrorKind, KeyProvider, KeySet};

use crate::counted::Counted;

/// A key in an environment variable, and its id in a second one where the scheme has an id.
///
/// Both are read again at each call, and taken as they are: no trimming, no decoding. The version is a counter, `env-1`, `env-2`,
/// that moves when value or id does. There is no previous key: the environment cannot say when an old one ends.
///
/// Errors of `keys`: `Missing` if a variable is not set, `Invalid` if it is empty or not UTF-8. They name the variable, never its value.
///
/// ```
/// use trunkline_auth_secrets::EnvKeys;
///
/// let voice = EnvKeys::new("VOICE_API_KEY");
/// let twilio = EnvKeys::new("TWILIO_AUTH_TOKEN").with_id_var("TWILIO_ACCOUNT_SID");
/// # drop((voice, twilio));
/// ```
#[derive(Debug)]
pub struct EnvKeys {
    value_var: Box<str>,
    id_var: Option<Box<str>>,
    counted: Counted,
}

impl EnvKeys {
    /// The label of this store in facts.
    pub const BACKEND: &str = "env";

    /// A key whose value is in this variable. Nothing is read before the first call.
    pub fn new(value_var: impl Into<Box<str>>) -> Self {
        Self { value_var: value_var.into(), id_var: None, counted: Counted::new(Self::BACKEND) }
    }

    /// The variable of the key's id. Default: the key has none.
    #[must_use]
    pub fn with_id_var(mut self, id_var: impl Into<Box<str>>) -> Self {
        self.id_var = Some(id_var.into());
        self
    }

    fn read(&self) -> Result<KeySet, KeyError> {
        let id = self.id_var.as_deref().map(variable).transpose()?;
        self.counted.key(variable(&self.value_var)?.into(), id.as_deref())
    }
}

fn variable(name: &str) -> Result<String, KeyError> {
    let fail = |kind, what| Err(KeyError::new(kind, format!("environment variable {name} {what}")));
    match std::env::var(name) {
        Ok(value) if value.is_empty() => fail(KeyErrorKind::Invalid, "is empty; set it to the key"),
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => fail(KeyErrorKind::Missing, "is not set; set it"),
        Err(VarError::NotUnicode(_)) => fail(KeyErrorKind::Invalid, "is not UTF-8; set it again as text"),
    }
}

impl KeyProvider for EnvKeys {
    fn keys(&self, _deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(std::future::ready(self.read()))
    }

    fn backend(&self) -> &'static str {
        Self::BACKEND
    }
}

//! Keys from HashiCorp Vault, KV version 2. All of `vaultrs` stays behind this module.

mod auth;
mod errors;
mod login;
mod read;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core_types::{
    BoxFuture, Clock, ClockExt, InputError, KeyError, KeyErrorKind, KeyProvider, KeySet, SystemClock,
};

use self::errors::Failure;
use self::login::Sessions;
use self::read::{Secret, read};
use self::settings::Checked;
pub use self::settings::{VaultLogin, VaultSettings};

/// A key in a KV version 2 secret of HashiCorp Vault (or OpenBao).
///
/// Value and version come in one request; the version is `kv-<number>`. Put a [`CachedKeys`](crate::CachedKeys) around it: by itself
/// it asks Vault at each call, and keeps nothing through an outage.
///
/// * **Time**: a call ends at its deadline or after 5 s, connecting takes at most 2 s of that. TLS is always verified, redirects are
///   never followed, nothing is read from `VAULT_*` variables.
/// * **Login**: once, then reused. An AppRole token is renewed after two thirds of its lease, or replaced by a new login where it
///   cannot be or would not last; this happens at the call that comes next, there is no task. Where Vault answers neither within 2 s, the
///   token is used until its lease ends. A given token is used as it is. A token file is read at each call.
/// * **403**: one fresh login and one repeat, for all callers together, at most every 10 s. What is refused after that is `Denied`.
/// * **Answers** of other crates are never passed on: their errors hold response bodies, and these hold secrets and tokens.
///
/// | What Vault says | Kind |
/// |---|---|
/// | 403 that survives a fresh login; login refused; version deleted or destroyed | `Denied` |
/// | 404, nothing ever there | `Missing` |
/// | the field is absent, empty or not text; another 4xx | `Invalid` |
/// | sealed, 5xx, 429, standby (redirect, 412, 472, 473), no connection, an answer that is not Vault's | `Unavailable` |
/// | nothing in time | `Timeout` |
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use trunkline_auth_secrets::{CacheSettings, CachedKeys, VaultKeys, VaultLogin, VaultSettings};
///
/// let login = VaultLogin::app_role("approle", "role-id", std::fs::read_to_string("/run/secrets/secret-id")?.trim().into());
/// let settings = VaultSettings::new("https://vault.example.com:8200", "secret", "voice/api-key", login);
/// let keys = CachedKeys::new(Arc::new(VaultKeys::new(settings)?), CacheSettings::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VaultKeys {
    settings: Arc<Checked>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

/// The longest a call may take, whatever its deadline.
const LONGEST_CALL: Duration = Duration::from_secs(5);
/// The longest the read of a previous version may take.
const LONGEST_EXTRA: Duration = Duration::from_secs(1);

impl VaultKeys {
    /// The label of this store in facts.
    pub const BACKEND: &str = "vault";

    /// A key in Vault. Reads the CA file if there is one; connects and logs in at the first call.
    ///
    /// # Errors
    /// Names the setting: `address`, `mount`, `path`, `field`, `id_field`, `namespace`, `ca_file`, `token`, `login_mount`, `role_id`
    /// or `secret_id`.
    pub fn new(settings: VaultSettings) -> Result<Self, InputError> {
        Self::with_clock(settings, Arc::new(SystemClock::new()))
    }

    /// The same with deadlines and leases measured on this clock. Connecting keeps to the machine's.
    ///
    /// # Errors
    /// As [`VaultKeys::new`].
    pub fn with_clock(settings: VaultSettings, clock: Arc<dyn Clock>) -> Result<Self, InputError> {
        let settings = Arc::new(Checked::new(settings)?);
        Ok(Self { sessions: Sessions::new(settings.clone(), clock.clone()), settings, clock })
    }

    async fn fetch(&self, deadline: Instant) -> Result<KeySet, KeyError> {
        let deadline = deadline.min(self.clock.now() + LONGEST_CALL);
        let current = self.clock.bounded(deadline, self.current()).await.unwrap_or_else(|| {
            let slow = "vault: no answer in time; check its load and the network, the last good key serves until its hard TTL";
            Err(KeyError::new(KeyErrorKind::Timeout, slow))
        })?;
        let previous = match self.settings.previous && current.number > 1 {
            true => self.previous(current.number - 1, deadline).await,
            false => None,
        };
        Ok(KeySet { current: current.key, previous: previous.map(|secret| secret.key) })
    }

    async fn current(&self) -> Result<Secret, KeyError> {
        let (session, just_made) = self.sessions.current().await?;
        match read(session.client(), &self.settings, None).await {
            // A token that was made for this very read is not the reason.
            Err(Failure::Forbidden) if !just_made => {
                let fresh = self.sessions.fresh(&session).await?;
                read(fresh.client(), &self.settings, None).await
            }
            result => result,
        }
        .map_err(|failure| failure.of_read(&self.settings))
    }

    /// The version before, if it can be had: deleted, destroyed or out of reach is no failure.
    async fn previous(&self, number: u64, deadline: Instant) -> Option<Secret> {
        let deadline = deadline.min(self.clock.now() + LONGEST_EXTRA);
        let work = async {
            let (session, _) = self.sessions.current().await.ok()?;
            read(session.client(), &self.settings, Some(number)).await.ok()
        };
        self.clock.bounded(deadline, work).await.flatten()
    }
}

impl KeyProvider for VaultKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(self.fetch(deadline))
    }

    fn backend(&self) -> &'static str {
        Self::BACKEND
    }
}

//! How long a key is kept, and with which clock.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{Clock, Entropy, InputError, Observer, SystemClock, SystemEntropy, Unobserved};

/// A year: longer than any key should be served.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Settings of a [`CachedKeys`](crate::CachedKeys). Times above a year are taken for one.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    pub(super) soft_ttl: Duration,
    pub(super) hard_ttl: Duration,
    pub(super) fetch_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            soft_ttl: Duration::from_secs(300),
            hard_ttl: Duration::from_secs(3600),
            fetch_timeout: Duration::from_secs(5),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            observer: Arc::new(Unobserved::default()),
        }
    }
}

impl CacheSettings {
    /// Age at which a key is fetched again in the background, up to 10 % more or less by chance so that many processes do not ask at
    /// once. Default: 5 minutes. It is also how late a rotation is seen; shorter costs the store that many more reads.
    #[must_use]
    pub fn with_soft_ttl(mut self, age: Duration) -> Self {
        self.soft_ttl = age;
        self
    }

    /// Age up to which the last good key is served while its store is out. Default: 1 hour. Longer bridges longer outages, and
    /// serves a key that was revoked during one for longer.
    #[must_use]
    pub fn with_hard_ttl(mut self, age: Duration) -> Self {
        self.hard_ttl = age;
        self
    }

    /// How long one fetch may take, whoever waits for it. Default: 5 s.
    #[must_use]
    pub fn with_fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// The clock. Default: the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The randomness of the jitter. Default: the operating system's.
    #[must_use]
    pub fn with_entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Who is told of each fetch ([`Fact::KeyFetch`](trunkline_core_types::Fact)) and of each failed refresh after which the last
    /// good key goes on being served ([`Fact::KeyStale`](trunkline_core_types::Fact)). Default: nobody.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// No sum of its times overflows.
    pub(super) fn bounded(mut self) -> Self {
        for time in [&mut self.soft_ttl, &mut self.hard_ttl, &mut self.fetch_timeout] {
            *time = LONGEST.min(*time);
        }
        self
    }

    pub(super) fn check(&self) -> Result<(), InputError> {
        if self.soft_ttl.is_zero() || self.soft_ttl > self.hard_ttl {
            return Err(InputError::new(
                "soft_ttl",
                "must be over zero and at most the hard TTL; shorten it",
            ));
        }
        if self.fetch_timeout.is_zero() {
            return Err(InputError::new("fetch_timeout", "must be over zero; 5 s is the default"));
        }
        Ok(())
    }
}

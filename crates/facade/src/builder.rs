//! From accounts and choices to a client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{
    AccountId, Clock, Entropy, InputError, Leases, Observer, Profile, Rate, SystemClock, SystemEntropy,
};
use trunkline_ratelimit::{LocalLeases, LocalPacer, LocalPacerSettings};
use trunkline_telemetry::MetricsObserver;
use trunkline_transport::RetrySettings;

use crate::drain::Drain;
use crate::inner::{Bulk, Inner, Route};
use crate::stack::{Shared, cached, stack};
use crate::steady::Steady;
use crate::{Account, Client, DialCheck, Error, Journal};

/// Collects accounts and choices; [`ClientBuilder::build`] checks them together.
#[derive(Clone)]
pub struct ClientBuilder {
    journal: Journal,
    accounts: Vec<Account>,
    retry: RetrySettings,
    check: Option<Arc<dyn DialCheck>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Option<Arc<dyn Observer>>,
    article_pair: Option<AccountId>,
    bulk: Bulk,
}

impl Client {
    /// A builder. The journal is a choice that is written: in memory, or a store that outlives the process.
    pub fn builder(journal: Journal) -> ClientBuilder {
        ClientBuilder::new(journal)
    }
}

impl ClientBuilder {
    fn new(journal: Journal) -> Self {
        Self {
            journal,
            accounts: Vec::new(),
            retry: RetrySettings::default(),
            check: None,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            observer: None,
            article_pair: None,
            bulk: Bulk { concurrency: 64, wait: Duration::from_secs(86_400) },
        }
    }

    /// One more account, in order of preference: a call goes on to the next one only while nobody can have been rung. `get`, `hang_up`
    /// and raw requests name theirs.
    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// How often and after what pauses to try again. Default: 3 tries, 2 s to 10 s with full jitter ([`RetrySettings::article`]).
    #[must_use]
    pub fn retry(mut self, settings: RetrySettings) -> Self {
        self.retry = settings;
        self
    }

    /// Your own check before a call is claimed: consent, do-not-call, hours. Default: none.
    #[must_use]
    pub fn on_dial(mut self, check: impl DialCheck) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Calls of one `place_all` under way at once, 1 to 10,000. Default 64. It bounds memory too.
    #[must_use]
    pub fn bulk_concurrency(mut self, calls: usize) -> Self {
        self.bulk.concurrency = calls;
        self
    }

    /// How long a call of `place_all` may wait for its permit. Default one day.
    #[must_use]
    pub fn bulk_wait(mut self, wait: Duration) -> Self {
        self.bulk.wait = wait;
        self
    }

    /// Feeds the metrics `claude_api_calls_total{status_code}` and `claude_api_latency_seconds` from this account too. Default: no account.
    #[must_use]
    pub fn article_pair(mut self, account: AccountId) -> Self {
        self.article_pair = Some(account);
        self
    }

    /// Sends the facts of every account here instead of to the `metrics` facade.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Where the time comes from. Default: the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where random numbers (jitter, minted keys) come from. Default: the system's.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The client. Nothing is fetched or connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) naming the setting: no account, two of one name, a pace above the provider's
    /// ceiling, a time out of range.
    pub fn build(self) -> Result<Client, Error> {
        self.check_settings()?;
        let steady = Arc::new(Steady::new(self.clock.clone()));
        let shared = Shared {
            clock: steady.clone(),
            entropy: self.entropy.clone(),
            journal: self.journal.0.clone(),
            retry: self.retry.clone(),
        };
        let routes =
            self.accounts.iter().map(|account| self.route(account, &shared)).collect::<Result<_, _>>()?;
        let check = self.check;
        Ok(Client::new(Inner {
            shared,
            steady,
            routes,
            check,
            bulk: self.bulk,
            drain: Drain::new(),
            flights: Default::default(),
            heard: Default::default(),
            cursor: Default::default(),
            reclaimed: Default::default(),
        }))
    }

    fn check_settings(&self) -> Result<(), InputError> {
        if self.accounts.is_empty() {
            return Err(InputError::new("account", "a client needs at least one account"));
        }
        if !(1..=10_000).contains(&self.bulk.concurrency) {
            return Err(InputError::new("bulk_concurrency", "must be 1 to 10000"));
        }
        self.retry.check()?;
        let mut seen = BTreeMap::new();
        for account in &self.accounts {
            if seen.insert(&account.id, ()).is_some() {
                return Err(InputError::new("account", format!("two accounts are named {}", account.id)));
            }
            check_pace(account.pace, account.provider.profile())?;
        }
        Ok(())
    }

    fn route(&self, account: &Account, shared: &Shared) -> Result<Route, InputError> {
        let observer = self.observer_of(account);
        let signing_keys =
            account.signing_keys.as_ref().map(|keys| cached(keys, shared, &observer)).transpose()?;
        // The signer and the callbacks share one cache.
        let account = &Account { signing_keys: signing_keys.clone(), ..account.clone() };
        let pacer = pacer(account, shared, &observer)?;
        let leases = account.live_calls.map(|cap| -> (Arc<dyn Leases>, Duration) {
            (Arc::new(LocalLeases::new(cap.max, shared.clock.clone())), cap.ttl)
        });
        let (stack, breaker) = stack(account, shared, pacer.clone(), observer.clone())?;
        let profile = account.provider.profile();
        Ok(Route {
            account: account.id.clone(),
            provider: account.provider.clone(),
            stack,
            pacer,
            leases,
            total: account.transport.total_timeout,
            processing_delay: account.processing_delay.unwrap_or(profile.processing_delay),
            listing_delay: account.listing_delay.unwrap_or(profile.listing_delay),
            from: account.from,
            breaker,
            callback_base: account.callback_base.clone(),
            signing_keys,
            observer,
        })
    }

    fn observer_of(&self, account: &Account) -> Arc<dyn Observer> {
        if let Some(own) = &self.observer {
            return own.clone();
        }
        let observer = MetricsObserver::new(&account.id);
        Arc::new(match self.article_pair.as_ref() == Some(&account.id) {
            true => observer.article_pair(),
            false => observer,
        })
    }
}

fn pacer(
    account: &Account,
    shared: &Shared,
    observer: &Arc<dyn Observer>,
) -> Result<Arc<LocalPacer>, InputError> {
    let settings = LocalPacerSettings::new(account.pace, shared.clock.clone())
        .tolerance(account.tolerance)
        .in_flight_max(account.in_flight)
        .observer(observer.clone());
    let settings = match account.queue_bound {
        Some(bound) => settings.queue_bound(bound),
        None => settings,
    };
    let pacer = settings.build().map_err(|error| InputError::new("tolerance", error.to_string()))?;
    Ok(Arc::new(pacer))
}

/// Refuses a pace above the provider's ceiling.
pub(crate) fn check_pace(pace: Rate, profile: &Profile) -> Result<(), InputError> {
    let ceiling = profile.ceiling;
    match is_above(pace, ceiling) {
        true => Err(InputError::new("pace", format!("{pace} is above the provider's ceiling of {ceiling}"))),
        false => Ok(()),
    }
}

/// Compares count over period without a division.
fn is_above(pace: Rate, ceiling: Rate) -> bool {
    let cross = |a: Rate, b: Rate| u128::from(a.count().get()) * b.period().as_nanos();
    cross(pace, ceiling) > cross(ceiling, pace)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

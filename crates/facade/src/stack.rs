//! The one function that knows the order of the layers.

use std::sync::Arc;

use trunkline_auth_secrets::{
    BasicSigner, BearerSigner, CacheSettings, CachedKeys, Signers, XSignatureSigner,
};
use trunkline_core_types::{
    AttemptJournal, AuthKind, Clock, Entropy, HttpService, InputError, KeyProvider, Observer, Origin, Pacer,
    Sign,
};
use trunkline_telemetry::{AttemptMetrics, CallMetrics};
use trunkline_transport::{
    Breaker, BreakerHandle, HttpClient, Journaled, Limiter, Retry, RetryBudget, RetrySettings, Signer,
    TcpDial,
};

use crate::Account;

/// What all accounts of a client share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) journal: Arc<dyn AttemptJournal>,
    pub(crate) retry: RetrySettings,
}

/// Builds an account's stack, innermost first: the last line is what a call meets first.
///
/// call metrics ► retry ► limiter ► breaker ► signer ► journal ► attempt metrics ► HTTP client with its timeout.
/// The handle tells whoever chooses between accounts whether this one is cut off.
pub(crate) fn stack(
    account: &Account,
    shared: &Shared,
    pacer: Arc<dyn Pacer>,
    observer: Arc<dyn Observer>,
) -> Result<(Arc<dyn HttpService>, BreakerHandle), InputError> {
    let origin: Origin = account.provider.origin().parse()?;
    let clock = &shared.clock;
    let sign = signer(account, shared, &origin, &observer)?;
    account.retry_budget.check()?;
    let (retry, budget) = (shared.retry.clone(), RetryBudget::new(account.retry_budget.clone()));
    let entropy = || shared.entropy.clone();

    let stack = leaf(account, origin, clock)?;
    let stack = AttemptMetrics::new(stack, clock.clone(), observer.clone());
    let stack = Journaled::new(Arc::new(stack), shared.journal.clone(), clock.clone(), observer.clone());
    let stack = Signer::new(Arc::new(stack), sign, clock.clone());
    let stack =
        Breaker::new(Arc::new(stack), account.breaker.clone(), clock.clone(), entropy(), observer.clone())?;
    let breaker = stack.handle();
    let stack =
        Limiter::new(Arc::new(stack), pacer, clock.clone(), observer.clone()).with_max_pause(retry.max_wait);
    let stack =
        Retry::new(Arc::new(stack), retry, clock.clone(), entropy(), observer.clone()).with_budget(budget);
    let stack = CallMetrics::new(Arc::new(stack), clock.clone(), observer);
    Ok((Arc::new(stack), breaker))
}

/// The user's own service, or our client, which judges replies as the provider documents them.
fn leaf(
    account: &Account,
    origin: Origin,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn HttpService>, InputError> {
    if let Some(own) = &account.service {
        return Ok(own.clone());
    }
    let dial = account.dial.clone().unwrap_or_else(|| Arc::new(TcpDial::with_clock(clock.clone())));
    let (settings, judge) = (account.transport.clone(), account.provider.clone());
    Ok(Arc::new(HttpClient::with_dial(origin, settings, judge, clock.clone(), dial)?))
}

/// The provider's usual signer, bound to its origin; the body signature comes last.
fn signer(
    account: &Account,
    shared: &Shared,
    origin: &Origin,
    observer: &Arc<dyn Observer>,
) -> Result<Arc<dyn Sign>, InputError> {
    if let Some(own) = &account.signer {
        return Ok(own.clone());
    }
    let keys = cached(&account.keys, shared, observer)?;
    let signers = match account.provider.profile().auth {
        AuthKind::Basic => Signers::new(BasicSigner::new(origin.clone(), keys)),
        _ => Signers::new(BearerSigner::new(origin.clone(), keys)),
    };
    Ok(Arc::new(match &account.signing_keys {
        None => signers,
        // Cached where the route is built: callbacks are verified from the same cache.
        Some(keys) => signers.with_body_signature(XSignatureSigner::new(origin.clone(), keys.clone())),
    }))
}

pub(crate) fn cached(
    keys: &Arc<dyn KeyProvider>,
    shared: &Shared,
    observer: &Arc<dyn Observer>,
) -> Result<Arc<dyn KeyProvider>, InputError> {
    let settings = CacheSettings::default()
        .with_clock(shared.clock.clone())
        .with_entropy(shared.entropy.clone())
        .with_observer(observer.clone());
    Ok(Arc::new(CachedKeys::new(keys.clone(), settings)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Journal;
    use trunkline_auth_secrets::StaticKeys;
    use trunkline_core_types::{SystemClock, SystemEntropy, Unobserved};
    use trunkline_providers::ClaudeVoice;
    use trunkline_ratelimit::LocalPacerSettings;

    #[test]
    fn the_layers_stand_in_the_order_of_the_design() {
        let keys = StaticKeys::new("key".into()).unwrap();
        let account =
            Account::new("main", ClaudeVoice::new("https://voice.example.com").unwrap(), keys).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let shared = Shared {
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
            journal: Journal::in_memory().0,
            retry: RetrySettings::default(),
        };
        let pacer = Arc::new(LocalPacerSettings::new(account.pace, clock).build().unwrap());
        let (built, _) = stack(&account, &shared, pacer, Arc::new(Unobserved::default())).unwrap();
        let built = format!("{built:?}");
        let order = [
            "CallMetrics",
            "Retry ",
            "Limiter",
            "Breaker ",
            "Signer ",
            "Journaled",
            "AttemptMetrics",
            "HttpClient",
        ];
        let places: Vec<_> = order
            .iter()
            .map(|layer| built.find(layer).unwrap_or_else(|| panic!("no {layer} in {built}")))
            .collect();
        assert!(places.is_sorted(), "{built}");
    }
}

//! What the checks look at, gathered once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Request};
use trunkline::{Clock, KeyProvider, Provider, SystemClock};

use crate::client;
use crate::exit::Problem;
use crate::settings::{ChosenKeys, Settings};

/// The longest that one look at the outside may take.
const LOOK: Duration = Duration::from_secs(10);
/// Sleeps whose lateness is measured, and how long each is.
const SLEEPS: (u32, Duration) = (20, Duration::from_millis(5));

/// Settings and what was found when they were used.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) provider: Result<Arc<dyn Provider>, Problem>,
    pub(super) api_key: Result<KeyFound, Problem>,
    pub(super) signing: Option<Result<KeyFound, Problem>>,
    /// The answer to a signed read; `None` if it could not be asked for want of a key or an address.
    pub(super) answer: Option<Result<Answer, Problem>>,
    /// How much later than asked this process woke up at worst.
    pub(super) lateness: Duration,
}

/// A key that could be fetched.
#[derive(Debug)]
pub(super) struct KeyFound {
    pub(super) store: &'static str,
    pub(super) version: String,
}

/// What the provider answered, and when.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) at: SystemTime,
}

impl Ground {
    /// Fetches the keys, asks the provider, measures the timers.
    pub(super) async fn survey(settings: Settings) -> Self {
        let clock = SystemClock::new();
        let provider = client::provider(&settings);
        let api_key = fetch(settings.keys.api_key(), &clock).await;
        let signing = match settings.keys.signing().transpose() {
            None => None,
            Some(keys) => Some(fetch(keys, &clock).await),
        };
        let usable = api_key.is_ok() && signing.as_ref().is_none_or(Result::is_ok);
        let answer = match &provider {
            Ok(provider) if usable => Some(ask(&settings, provider.clone(), &clock).await),
            _ => None,
        };
        Self { provider, api_key, signing, answer, lateness: lateness(&clock).await, settings }
    }
}

async fn fetch(keys: Result<ChosenKeys, Problem>, clock: &SystemClock) -> Result<KeyFound, Problem> {
    let keys = keys?;
    let found = keys.keys(clock.now() + LOOK).await?;
    Ok(KeyFound { store: keys.store(), version: found.current.version().to_owned() })
}

/// One page of calls, the cheapest request that proves address, trust, key and signature.
async fn ask(
    settings: &Settings,
    provider: Arc<dyn Provider>,
    clock: &SystemClock,
) -> Result<Answer, Problem> {
    let base = settings.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
    let url = format!("{}/v1/calls?limit=1", base.strip_suffix("/v1").unwrap_or(base));
    let request =
        Request::get(url).body(Default::default()).map_err(|_| Problem::input("base_url", "makes no URL"))?;
    let account = settings.account.parse()?;
    // The pace has a check of its own, which an account refused for it would hide.
    let paceless = client::account(settings, provider.clone())?.pace(provider.profile().default_pace);
    let response = client::client(paceless)?.raw_read(&account, request).await?;
    Ok(Answer { headers: response.into_parts().0.headers, at: clock.wall() })
}

async fn lateness(clock: &SystemClock) -> Duration {
    let mut worst = Duration::ZERO;
    for _ in 0..SLEEPS.0 {
        let at = clock.now() + SLEEPS.1;
        clock.sleep_until(at).await;
        worst = worst.max(clock.now().saturating_duration_since(at));
    }
    worst
}

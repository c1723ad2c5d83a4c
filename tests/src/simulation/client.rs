//! A client of the simulated provider, and its key store, which is slow at times.

use std::sync::Arc;
use std::time::Instant;

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, Idempotency, Journal, RetrySettings};
use trunkline_core_types::{BoxFuture, Fact, KeyError, KeyProvider, KeySet, Observer};

use super::journal::{SimJournal, Store};
use super::process::Process;
use super::wire::SimDial;
use super::world::World;

/// A client of a process that starts.
pub(super) fn client(store: &Arc<Store>, world: &Arc<World>, process: &Arc<Process>) -> Client {
    let plan = &world.plan;
    let journal = SimJournal { store: store.clone(), process: process.clone() };
    let mut retry = RetrySettings::default();
    retry.max_tries = plan.max_tries;
    let jitter =
        world.faults.draw("client", "", (process.pid.process as u64) << 32 | u64::from(process.pid.start));
    let mut builder = Client::builder(Journal::custom(Arc::new(journal)))
        .clock(world.clock.clone())
        .entropy(Arc::new(jitter))
        .observer(Arc::new(Facts(world.clone())))
        .retry(retry)
        .bulk_concurrency(plan.concurrency);
    for index in 0..plan.accounts {
        builder = builder.account(account(world, process, index));
    }
    builder.build().unwrap()
}

fn account(world: &Arc<World>, process: &Arc<Process>, index: usize) -> Account {
    let plan = &world.plan;
    let (id, inner) = (format!("account-{index}"), StaticKeys::new("key".into()).unwrap());
    let keys = SlowKeys { inner, world: world.clone() };
    let mut voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    if !plan.keyed {
        voice = voice.promising(|profile| profile.idempotency = Idempotency::No);
    }
    let (world, process) = (world.clone(), process.clone());
    Account::new(&id, voice, keys)
        .unwrap()
        .pace(plan.share())
        .tolerance(plan.tolerance)
        .in_flight(plan.in_flight)
        .dial(Arc::new(SimDial { world, process, account: index }))
}

/// Facts of the layers become lines of the story.
#[derive(Debug)]
struct Facts(Arc<World>);

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        if let Some((who, what)) = words(&fact) {
            self.0.tell(who, None, || what);
        }
    }
}

/// A fact that the other lines do not tell.
fn words(fact: &Fact) -> Option<(&'static str, String)> {
    Some(match fact {
        Fact::Permitted { lane, waited } => {
            ("limiter", format!("a {} permit after {} ms", lane.as_str(), waited.as_millis()))
        }
        Fact::Denied { lane, kind } => ("limiter", format!("no {} permit: {kind:?}", lane.as_str())),
        Fact::LatePermit { by } => ("limiter", format!("a permit was {} ms too late", by.as_millis())),
        Fact::Throttled { pause } => ("limiter", format!("pauses for {} ms", pause.as_millis())),
        Fact::Retried { class, after, .. } => {
            ("retry", format!("again in {} ms after {class}", after.as_millis()))
        }
        Fact::RetryRefused { class, .. } => {
            ("retry", format!("the budget does not pay for another try after {class}"))
        }
        Fact::Breaker { state } => ("breaker", state.as_str().to_owned()),
        Fact::StaleConnection => ("pool", "a pooled connection was dead".to_owned()),
        Fact::JournalFailed { step } => ("journal", format!("{step} failed")),
        _ => return None,
    })
}

#[derive(Debug)]
struct SlowKeys {
    inner: StaticKeys,
    world: Arc<World>,
}

impl KeyProvider for SlowKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(async move {
            // Not of one call: the moment names it.
            let moment = self.world.now().as_millis() as u64;
            if let Some(time) = self.world.faults.slowness("keys", "", moment) {
                self.world.pause(time).await;
            }
            self.inner.keys(deadline).await
        })
    }
}

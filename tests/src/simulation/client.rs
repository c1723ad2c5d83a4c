//! A client of the simulated provider, and its key store, which is slow at times.

use std::sync::Arc;
use std::time::Instant;

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, Idempotency, Journal, RetrySettings};
use trunkline_core_types::{BoxFuture, KeyError, KeyProvider, KeySet};

use super::journal::{SimJournal, Store};
use super::log::Facts;
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
        .observer(Arc::new(Facts(world.log.clone())))
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

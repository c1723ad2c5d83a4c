//! Everything around the calls: events, look-ups, an operator who reconciles and places again, keys that rotate, clocks that jump,
//! paces that change, two accounts. Requests and replies travel whole; what breaks at a single byte is the other runs' point.

mod book;
mod fate;
mod load;
mod message;
mod plan;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, BoxFuture, Client, Clock, Idempotency, Journal, Rate, RetrySettings, SeededEntropy,
};
use trunkline_core_types::{ClockExt, Entropy, VirtualClock};
use trunkline_journal::MemoryJournal;

use self::load::Load;
use self::plan::Plan;
use self::world::World;
use super::exchange::{Answer, Peer, PeerDial};
use super::faults::Faults;
use super::findings::Invariant;
use super::jumps::JumpyClock;
use super::log::Facts;
use super::rotation::RotatingKeys;
use super::scenario::HORIZON;
use super::{Report, Scenario, Verdict};

/// Runs one seed with so many calls and says what was found.
///
/// # Panics
/// If no runtime can be built.
pub fn run(seed: u64, calls: usize) -> Verdict {
    Scenario::around(seed, calls).run().verdict
}

pub(super) async fn play(scenario: &Scenario) -> Report {
    let clock = Arc::new(VirtualClock::new());
    let entropy = SeededEntropy::new(scenario.seed);
    let plan = Plan::draw(&SeededEntropy::new(entropy.next()), scenario.calls);
    let faults = Faults::by_name(entropy.next(), scenario.faults.clone());
    let plan = plan.with(&faults);
    let keys: BTreeSet<_> = plan.keys().filter(|key| scenario.places(key)).collect();
    let world = Arc::new(World::new(entropy.next(), &plan, faults, scenario, clock.clone()));
    let stores = Stores::new(&plan, &clock);
    let client = client(&world, &stores, entropy.next());
    let load = Load::new(&world, &client, &keys);
    if clock.bounded(clock.now() + HORIZON, load.run()).await.is_none() {
        world.log.found(Invariant::Stuck, None, "the run did not end".to_owned());
    }
    // With some calls left out an account may lie idle.
    let busy_until = plan.busy_until().filter(|_| keys.len() == plan.calls);
    for store in stores.0.iter().flatten() {
        store.problem(busy_until).into_iter().for_each(|problem| world.wrong(None, problem));
    }
    let gentle = busy_until.is_some_and(|until| plan.rotation.is_gentle(until));
    if gentle && world.refused_keys() > 0 {
        world.wrong(None, format!("{} requests were refused for their key", world.refused_keys()));
    }
    scenario.report(keys, &world.faults, format!("{plan:?}"), &world.log)
}

/// Bearer key and secret of each account: they rotate together.
struct Stores(Vec<[Arc<RotatingKeys>; 2]>);

impl Stores {
    fn new(plan: &Plan, clock: &Arc<VirtualClock>) -> Self {
        let store = |prefix| Arc::new(RotatingKeys::new(plan.rotation.clone(), prefix, clock.clone()));
        Self((0..plan.accounts).map(|_| [store(world::KEY), store(world::SECRET)]).collect())
    }
}

/// The world as one account meets it.
#[derive(Debug)]
struct Door {
    world: Arc<World>,
    account: usize,
}

impl Peer for Door {
    fn connects(&self) -> bool {
        true
    }

    fn asked(&self, request: &str, began: Instant) -> Answer {
        self.world.asked(self.account, request, began)
    }

    fn clock(&self) -> &dyn Clock {
        &*self.world.clock
    }
}

/// A signing secret that is shared with whoever looks at its store later.
#[derive(Debug)]
struct Secret(Arc<RotatingKeys>);

impl trunkline::KeyProvider for Secret {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<trunkline::KeySet, trunkline::KeyError>> {
        self.0.keys(deadline)
    }

    fn invalidate(&self, version: &str) {
        self.0.invalidate(version);
    }
}

fn client(world: &Arc<World>, stores: &Stores, seed: u64) -> Client {
    let plan = &world.plan;
    let clock = Arc::new(JumpyClock::new(world.clock.clone(), plan.jumps.clone()));
    let mut retry = RetrySettings::default();
    retry.max_tries = plan.max_tries;
    let journal = MemoryJournal::new(clock.clone());
    let mut builder = Client::builder(Journal::custom(Arc::new(journal)))
        .clock(clock)
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .observer(Arc::new(Facts(world.log.clone())))
        .retry(retry);
    for (index, store) in stores.0.iter().enumerate() {
        builder = builder.account(account(world, index, store));
    }
    builder.build().unwrap()
}

fn account(world: &Arc<World>, index: usize, [key, secret]: &[Arc<RotatingKeys>; 2]) -> Account {
    let plan = &world.plan;
    let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    let voice =
        if plan.keyed { voice } else { voice.promising(|profile| profile.idempotency = Idempotency::No) };
    let account = Account::shared(&world::name(index), Arc::new(voice), key.clone())
        .unwrap()
        .signing_keys(Secret(secret.clone()))
        .callback_base("https://example.com/events")
        .unwrap()
        .pace(Rate::per_second(plan.paces.all()[0].1))
        .tolerance(plan.tolerance)
        .in_flight(plan.in_flight)
        .dial(Arc::new(PeerDial(Arc::new(Door { world: world.clone(), account: index }))));
    match plan.live_calls {
        Some((max, ttl)) => account.live_calls(max, ttl),
        None => account,
    }
}

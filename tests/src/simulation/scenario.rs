//! One run: a seed, how many calls, and what of its calls and faults is switched on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use trunkline_core_types::{Clock, ClockExt, Entropy, SeededEntropy, VirtualClock};

use super::faults::Faults;
use super::findings::{Found, Invariant};
use super::journal::Store;
use super::log::Log;
use super::plan::Plan;
use super::story::Story;
use super::verdict::Verdict;
use super::world::World;
use super::{afterwards, around, load};

/// Longer than any call may wait.
pub(super) const HORIZON: Duration = Duration::from_secs(7 * 86_400);

/// No name at all, on a command line.
const NONE: &str = "none";

/// A provider that breaks its own contract, for the tests of the simulation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It rings also where it refuses.
    RefusesYetRings,
}

/// Which simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Single bytes, crashes, processes.
    Calls,
    /// Events, look-ups, rotations, jumping clocks.
    Around,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Which simulation.
    pub profile: Profile,
    /// What everything is drawn from.
    pub seed: u64,
    /// Calls of the whole seed.
    pub calls: usize,
    /// Only these calls are placed; none for all.
    pub keys: Option<BTreeSet<String>>,
    /// Only these faults happen; none for all.
    pub faults: Option<BTreeSet<String>>,
    /// What is wrong with the provider.
    pub flaw: Option<Flaw>,
    /// Whether to keep the story.
    pub told: bool,
}

/// What a run found, and what happened in it.
#[derive(Debug, Clone)]
pub struct Report {
    /// The counts.
    pub verdict: Verdict,
    /// The first violations.
    pub found: Vec<Found>,
    /// The calls that were placed.
    pub keys: BTreeSet<String>,
    /// The faults that happened.
    pub faults: BTreeSet<String>,
    /// What the seed drew.
    pub plan: String,
    /// Empty unless it was asked for.
    pub story: Story,
}

impl Scenario {
    /// All calls and all faults of a seed.
    pub fn new(seed: u64, calls: usize) -> Self {
        Self { profile: Profile::Calls, seed, calls, keys: None, faults: None, flaw: None, told: false }
    }

    /// The same of what is around the calls.
    pub fn around(seed: u64, calls: usize) -> Self {
        Self { profile: Profile::Around, ..Self::new(seed, calls) }
    }

    /// The command that runs exactly this.
    pub fn command(&self) -> String {
        let mut command =
            format!("cargo xtask simulate --first-seed {} --seeds 1 --calls {}", self.seed, self.calls);
        if self.profile == Profile::Around {
            command += " --profile around";
        }
        let mut add = |flag: &str, names: &Option<BTreeSet<String>>| {
            let Some(names) = names else { return };
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            command +=
                &format!(" {flag} {}", if names.is_empty() { NONE.to_owned() } else { names.join(",") });
        };
        add("--only", &self.keys);
        add("--faults", &self.faults);
        if self.flaw.is_some() {
            command += " --flaw refuses-yet-rings";
        }
        command
    }

    /// Names as a command line lists them.
    pub fn names(listed: &str) -> BTreeSet<String> {
        listed.split(',').filter(|name| !name.is_empty() && *name != NONE).map(str::to_owned).collect()
    }

    /// Runs it.
    ///
    /// # Panics
    /// If no runtime can be built.
    pub fn run(&self) -> Report {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        match self.profile {
            Profile::Calls => runtime.block_on(self.play()),
            Profile::Around => runtime.block_on(around::play(self)),
        }
    }

    async fn play(&self) -> Report {
        let clock = Arc::new(VirtualClock::new());
        let entropy = SeededEntropy::new(self.seed);
        // The first draws of neighbouring seeds are alike.
        let plan = Plan::draw(&SeededEntropy::new(entropy.next()), self.calls);
        let shown = format!("{plan:?}");
        let keys: BTreeSet<_> = load::keys(&plan).filter(|key| self.places(key)).collect();
        let faults = Faults::new(entropy.next(), &plan, self.faults.clone());
        let world = Arc::new(World::new(plan, faults, self.flaw, self.told, clock.clone()));
        if clock.bounded(clock.now() + HORIZON, self.everything(&world)).await.is_none() {
            world.found(Invariant::Stuck, None, "the run did not end".to_owned());
        }
        self.report(keys, &world.faults, shown, &world.log)
    }

    pub(super) fn report(&self, keys: BTreeSet<String>, faults: &Faults, plan: String, log: &Log) -> Report {
        Report {
            verdict: Verdict::of(self.seed, self.calls, log),
            found: log.first_found(),
            keys,
            faults: faults.happened(),
            plan,
            story: log.story(),
        }
    }

    pub(super) fn places(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }

    async fn everything(&self, world: &Arc<World>) {
        let keys: Vec<_> = load::keys(&world.plan).filter(|key| self.places(key)).collect();
        let store = Store::new(world);
        let processes = (0..world.plan.processes).map(|index| load::process(world, &store, index, &keys));
        let living = join_all(processes).await;
        world.all_ended();
        if let Some(first) = living.first() {
            afterwards::place_again(world, first, &keys).await;
        }
        for living in &living {
            afterwards::check(world, living).await;
        }
    }
}

//! The servers of a plan, and one client's life before them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Clock, Idempotency, Journal, Rate, RetrySettings, SeededEntropy, SystemClock,
};
use trunkline_simulator::{Fault, Simulator};

use super::callers;
use super::folder::Folder;
use super::keys::Rotating;
use super::plan::{ARRIVAL, Plan, TOLERANCE};
use super::watch::Watch;
use crate::end::End;

/// Who makes single calls at the same time.
const CALLERS: usize = 24;
const GRACE: Duration = Duration::from_secs(10);
/// How often a key changes, in calls.
const ROTATION: usize = 100;
/// How often a 429 comes, in calls.
const THROTTLE: usize = 900;

/// What outlives a client.
pub(super) struct World {
    pub(super) servers: Vec<Simulator>,
    pub(super) watch: Arc<Watch>,
    keys: Arc<Rotating>,
    journal: Option<Journal>,
    folder: Option<Folder>,
    done: AtomicUsize,
    /// One turn at a time: a thread that is held up between the halves of a rotation would bring a key back that the next one revoked.
    turning: Mutex<()>,
}

impl World {
    pub(super) async fn start(plan: &Plan) -> Self {
        let mut servers = Vec::new();
        for number in 0..plan.accounts as u64 {
            let server = Simulator::builder()
                .rate(plan.per_second)
                .rate_tolerance(TOLERANCE + ARRIVAL)
                .faults(plan.faults)
                .latency(Duration::from_millis(5))
                .seed(plan.seed * 10 + number);
            let server = if plan.keyed { server } else { server.ignore_idempotency() };
            servers.push(server.api_key("key-0").start().await.unwrap());
        }
        let folder = plan.durable.then(|| Folder::new(plan.seed));
        let journal = (!plan.durable).then(Journal::in_memory);
        let (keys, watch) = (Arc::new(Rotating::new("key-0")), Arc::new(Watch::new()));
        Self { servers, watch, keys, journal, folder, done: AtomicUsize::new(0), turning: Mutex::new(()) }
    }

    fn journal(&self) -> Journal {
        match (&self.journal, &self.folder) {
            (Some(memory), _) => memory.clone(),
            (None, Some(folder)) => Journal::sqlite(folder.path().join("journal.db")).unwrap(),
            (None, None) => unreachable!("a plan has one or the other"),
        }
    }

    /// What the world does to everybody as calls go by.
    fn turn(&self, plan: &Plan, done: usize) {
        let _turning = self.turning.lock().unwrap();
        if plan.rotates && done.is_multiple_of(ROTATION) {
            let turn = done / ROTATION;
            let fresh = format!("key-{turn}");
            self.servers[0].also_accept(&fresh, "secret");
            self.keys.rotate(&fresh);
            // The one before is refused from now on, whether or not the client has heard of its end.
            self.servers[0].revoke(&format!("key-{}", turn - 1));
        }
        if plan.throttles && done.is_multiple_of(THROTTLE) {
            self.servers[0].fault_next(Fault::Throttle { retry_after: 1 });
        }
        if plan.fails_over && done == plan.calls / 3 {
            self.servers[0].revoke("key-0");
        }
        if plan.fails_over && done == plan.calls * 2 / 3 {
            self.servers[0].also_accept("key-0", "secret");
        }
    }

    fn creates(&self) -> u64 {
        self.servers.iter().map(|server| server.book().creates).sum()
    }
}

/// One client.
pub(super) struct Round<'a> {
    plan: &'a Arc<Plan>,
    world: &'a Arc<World>,
    entropy: Arc<SeededEntropy>,
    client: Client,
}

impl<'a> Round<'a> {
    pub(super) fn new(plan: &'a Arc<Plan>, world: &'a Arc<World>, entropy: Arc<SeededEntropy>) -> Self {
        let mut retry = RetrySettings::default();
        (retry.base, retry.cap) = (Duration::from_millis(20), Duration::from_millis(200));
        let mut client = Client::builder(world.journal())
            .entropy(entropy.clone())
            .observer(world.watch.clone())
            .bulk_wait(Duration::from_secs(120))
            .retry(retry);
        for (number, server) in world.servers.iter().enumerate() {
            let voice = ClaudeVoice::new(&server.base_url()).unwrap().promising(|profile| {
                profile.ceiling = Rate::per_second(NonZeroU32::MAX);
                if !plan.keyed {
                    profile.idempotency = Idempotency::No;
                }
            });
            let account =
                Account::shared(&format!("account-{number}"), Arc::new(voice), world.keys.clone()).unwrap();
            let pace = Rate::per_second(plan.per_second);
            client = client.account(account.pace(pace).tolerance(TOLERANCE).in_flight(plan.in_flight));
        }
        Self { plan, world, entropy, client: client.build().unwrap() }
    }

    /// Places these calls; all of them if this is the `last` round, or until a shutdown in mid-flight. Also what was under way after it.
    pub(super) async fn run(self, numbers: Vec<usize>, last: bool) -> (Vec<(usize, End)>, u64) {
        let stops_after = match last {
            true => usize::MAX,
            false => self.world.done.load(Ordering::Relaxed) + self.plan.calls / (self.plan.shutdowns + 1),
        };
        let (bulk, single): (Vec<_>, Vec<_>) = numbers.into_iter().partition(|number| number % 10 < 4);
        let stopped = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        callers.spawn(self.bulk(bulk));
        let (single, next) = (Arc::new(single), Arc::new(AtomicUsize::new(0)));
        for _ in 0..CALLERS {
            callers.spawn(self.singles(single.clone(), next.clone(), stops_after, stopped.clone()));
        }
        let mut seen = Vec::new();
        while let Some(ends) = callers.join_next().await {
            seen.extend(ends.unwrap());
        }
        let mut leaked = 0;
        if last {
            leaked += self.missing_permits().await;
        }
        (seen, leaked + self.client.shutdown(GRACE).await.under_way as u64)
    }

    fn bulk(&self, numbers: Vec<usize>) -> impl Future<Output = Vec<(usize, End)>> + Send + 'static {
        let (plan, world, client) = (self.plan.clone(), self.world.clone(), self.client.clone());
        async move {
            let orders: Vec<_> = numbers.iter().map(|number| callers::order(&plan, *number)).collect();
            let mut placing = client.place_all(stream::iter(orders));
            let mut seen = Vec::new();
            while let Some((key, result)) = placing.next().await {
                let number = key.as_str().strip_prefix("call-").unwrap().parse().unwrap();
                seen.push((number, End::of(&result)));
                world.turn(&plan, world.done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            seen
        }
    }

    /// One caller after another; whoever comes past `stops_after` shuts the client down, once.
    fn singles(
        &self,
        numbers: Arc<Vec<usize>>,
        next: Arc<AtomicUsize>,
        stops_after: usize,
        stopped: Arc<AtomicBool>,
    ) -> impl Future<Output = Vec<(usize, End)>> + Send + 'static {
        let (plan, world, client) = (self.plan.clone(), self.world.clone(), self.client.clone());
        let entropy = self.entropy.clone();
        async move {
            let mut seen = Vec::new();
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let ends = callers::one(&client, &plan, *number, &entropy).await;
                seen.extend(ends.into_iter().map(|end| (*number, end)));
                let done = world.done.fetch_add(1, Ordering::Relaxed) + 1;
                world.turn(&plan, done);
                if done >= stops_after && !stopped.swap(true, Ordering::Relaxed) {
                    client.shutdown(GRACE).await;
                }
            }
            seen
        }
    }

    /// Creates that cannot be under way at once although as many may be: permits that did not come back.
    async fn missing_permits(&self) -> u64 {
        let mut missing = u64::MAX;
        // A connection that its server closed unseen ends a create early; the pool has none of those after a few turns.
        for turn in 0..4 {
            missing = missing.min(self.fill(turn).await);
            if missing == 0 {
                break;
            }
        }
        missing
    }

    /// Starts as many slow creates as may be under way; how many of them were not, before the first of them ended.
    async fn fill(&self, turn: usize) -> u64 {
        let (clock, may) = (SystemClock::new(), self.plan.in_flight.get() as usize);
        let before = self.world.creates();
        let mut callers = JoinSet::new();
        for number in 0..may {
            assert!(self.world.servers[0].fault_next(Fault::Slow(Duration::from_secs(3))));
            let order = callers::order(self.plan, self.plan.calls + turn * may + number);
            let client = self.client.clone();
            callers.spawn(async move { client.place(order).await });
        }
        let mut most = 0;
        while callers.len() == may && most < may as u64 {
            clock.sleep_until(clock.now() + Duration::from_millis(5)).await;
            most = self.world.creates() - before;
            // An ended caller leaves the set here.
            let _ = callers.try_join_next();
        }
        callers.join_all().await;
        (may as u64).saturating_sub(most)
    }
}

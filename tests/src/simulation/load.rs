//! What the users of the clients do: bulk, single calls, impatience, two callers of one key, and placing again after a crash.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{Either, join, join_all, select};
use futures_util::{StreamExt, stream};
use trunkline::{Client, Clock, NewCall, Order};
use trunkline_core_types::EntropyExt;

use super::client::client;
use super::findings::Invariant;
use super::journal::Store;
use super::plan::Plan;
use super::process::{Pid, Process};
use super::world::World;
use crate::end::End;

/// The time of a single call, shorter or longer than that in which a reply has to begin.
const SINGLE_TIMEOUTS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(20)];
/// The time of a call in bulk from its first permit.
const BULK_TIMEOUT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(2);
const PREFIX: &str = "single-";

/// The keys of every call of a plan.
pub(super) fn keys(plan: &Plan) -> impl Iterator<Item = String> {
    let singles = plan.calls / 10;
    let bulk = (0..plan.calls - singles).map(|n| format!("bulk-{n}"));
    bulk.chain((0..singles).map(|n| format!("{PREFIX}{n}")))
}

/// Runs the load of one process until it is done, over as many starts as its crashes make; gives its last start.
pub(super) async fn process(world: &Arc<World>, store: &Arc<Store>, index: usize, keys: &[String]) -> Living {
    let mut todo: Vec<_> = keys.iter().filter(|key| is_at_home(world, index, key)).cloned().collect();
    let done = Mutex::new(BTreeSet::new());
    for start in 0.. {
        let process = Process::start(Pid { process: index, start });
        let client = client(store, world, &process);
        world.roster.enter(process.pid, &client);
        let load = Load { world, client: &client, process: &process, done: &done };
        let work = async {
            select(pin!(load.run(&todo)), pin!(load.dies_at_some_time())).await;
        };
        if process.lives(work).await.is_some() {
            return Living { process, client };
        }
        world.roster.leave(process.pid);
        drop(client);
        let entropy = world.faults.draw("restart", "", (index as u64) << 32 | u64::from(start));
        world.pause(Duration::from_millis(entropy.below(5000))).await;
        store.recover(process.pid);
        world.tell("client", None, || format!("process {index} starts again"));
        // What has no answer is placed again, and some of what has.
        let done = done.lock().unwrap();
        let again = |key: &str| world.faults.draw("after", key, start.into()).below(4) == 0;
        todo.retain(|key| !done.contains(key) || again(key));
    }
    unreachable!("each crash happens once")
}

/// A process that has done its work.
pub(super) struct Living {
    pub(super) process: Arc<Process>,
    pub(super) client: Client,
}

/// Whether this process places the call; some are placed by every process.
fn is_at_home(world: &World, index: usize, key: &str) -> bool {
    let (entropy, processes) = (world.faults.draw("home", key, 0), world.plan.processes as u64);
    entropy.below(processes) == index as u64 || entropy.below(4) == 0
}

struct Load<'a> {
    world: &'a Arc<World>,
    client: &'a Client,
    process: &'a Process,
    done: &'a Mutex<BTreeSet<String>>,
}

impl Load<'_> {
    async fn run(&self, keys: &[String]) {
        let (singles, bulk): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.starts_with(PREFIX));
        let (world, pid) = (self.world.clone(), self.process.pid);
        let bulk: Vec<_> = bulk.into_iter().cloned().collect();
        let orders = bulk.into_iter().map(move |key| {
            world.tell("caller", Some(&key), || format!("{pid} takes the call from its list"));
            order(&key)
        });
        let bulk = async {
            let mut results = self.client.place_all(stream::iter(orders));
            while let Some((key, result)) = results.next().await {
                self.answered(key.as_str(), End::of(&result));
                let took = self.world.since_begin(self.process.pid, key.as_str());
                self.in_time(key.as_str(), took.unwrap_or_default(), BULK_TIMEOUT);
            }
        };
        join(bulk, join_all(singles.into_iter().map(|key| self.single(key)))).await;
    }

    /// Dies at the times that are drawn.
    async fn dies_at_some_time(&self) {
        let index = self.process.pid.process;
        for number in 0..self.world.plan.crashes.div_ceil(2) {
            let entropy = self.world.faults.draw("dies", "", (index as u64) << 32 | u64::from(number));
            let at = self.world.plan.spread().mul_f64(1.2 * entropy.fraction());
            if at <= self.world.now() {
                continue;
            }
            self.world.pause(at - self.world.now()).await;
            if self.world.faults.happens(|| format!("crash-time:{index}#{number}")) {
                self.world.tell("crash", None, || format!("{} dies", self.process.pid));
                self.world.dies(self.process);
            }
        }
        pending().await
    }

    /// One caller, or two at once of the same key; some give up, and some place again later.
    async fn single(&self, key: &str) {
        let entropy = self.world.faults.draw("single", key, 0);
        let begins = self.world.plan.spread().mul_f64(entropy.fraction());
        let patience = Duration::from_millis(entropy.below(3000));
        let (impatient, again) = (entropy.below(4) == 0, entropy.below(4) == 0);
        let later = Duration::from_millis(entropy.below(40_000));
        self.world.pause(begins.saturating_sub(self.world.now())).await;
        let began = self.world.clock.now();
        if impatient {
            self.place_or_drop(key, began + patience).await;
        } else {
            let (first, second) = join(self.place(key), self.place(key)).await;
            // One that ended unsent may have ended before the other began.
            if first != second && first != End::Unsent {
                let words = format!("two callers at once saw {first:?} and {second:?}");
                self.world.found(Invariant::Misclassified, Some(key), words);
            }
        }
        self.in_time(key, self.world.clock.now() - began, self.timeout(key));
        if again {
            self.world.pause(later).await;
            self.place(key).await;
        }
    }

    async fn place(&self, key: &str) -> End {
        self.world.tell("caller", Some(key), || format!("places the call through {}", self.process.pid));
        let end = End::of(&self.client.place(order(key).timeout(self.timeout(key))).await);
        self.answered(key, end);
        end
    }

    fn timeout(&self, key: &str) -> Duration {
        SINGLE_TIMEOUTS[self.world.faults.draw("timeout", key, 0).below(2) as usize]
    }

    async fn place_or_drop(&self, key: &str, until: Instant) {
        let timer = self.world.clock.sleep_until(until);
        if let Either::Right((_, call)) = select(Box::pin(self.place(key)), timer).await {
            self.world.tell("caller", Some(key), || "gives up".to_owned());
            drop(call);
            self.answered(key, End::Dropped);
        }
    }

    /// The caller has its answer.
    fn answered(&self, key: &str, end: End) {
        if self.process.is_dead() {
            return;
        }
        self.world.heard(key, end);
        self.done.lock().unwrap().insert(key.to_owned());
    }

    fn in_time(&self, key: &str, took: Duration, most: Duration) {
        if took > most + TICK && !self.process.is_dead() {
            let words = format!("took {} ms of {} ms", took.as_millis(), most.as_millis());
            self.world.found(Invariant::Late, Some(key), words);
        }
    }
}

pub(super) fn order(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

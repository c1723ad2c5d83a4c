//! When all is over: what was taken must have come back, so every client can fill its accounts once more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use trunkline_core_types::EntropyExt;

use super::findings::Invariant;
use super::load::{Living, order};
use super::world::World;
use crate::end::End;

/// Longer than a breaker stays open and than any pause.
const REST: Duration = Duration::from_secs(90);
/// As many as a breaker may want to see before it closes, and more.
const WAKES: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);
/// A reply may be held back for so long.
const HELD: u64 = 8;

/// Places calls of the load again: who was rung is rung no more, whatever was lost on the way.
pub(super) async fn place_again(world: &Arc<World>, living: &Living, keys: &[String]) {
    world.calm();
    world.pause(REST).await;
    let again = |key: &&String| world.faults.draw("at the end", key, 0).below(4) == 0;
    let orders: Vec<_> = keys.iter().filter(again).map(|key| order(key)).collect();
    let mut results = living.client.place_all(stream::iter(orders));
    while let Some((key, result)) = results.next().await {
        world.heard(key.as_str(), End::of(&result));
    }
}

/// Fills the accounts of a client, then shuts it down.
pub(super) async fn check(world: &Arc<World>, living: &Living) {
    for account in 0..world.plan.accounts {
        if wakes(world, living, account).await {
            fills(world, living, account).await;
        }
    }
    world.roster.leave(living.process.pid);
    let drained = living.client.shutdown(Duration::from_secs(60)).await;
    for _ in 0..drained.under_way {
        world.found(Invariant::Leaked, None, format!("{} has an operation under way", living.process.pid));
    }
}

/// Calls one by one until some are placed in a row: a breaker that was open closes again.
async fn wakes(world: &Arc<World>, living: &Living, account: usize) -> bool {
    world.probes(account, 1);
    let mut in_a_row = 0;
    for number in 0..WAKES {
        let placed = probe(world, living, account, &format!("wake-{number}")).await == End::Placed;
        in_a_row = if placed { in_a_row + 1 } else { 0 };
        if in_a_row == 5 {
            return true;
        }
        world.pause(Duration::from_secs(1)).await;
    }
    let words =
        format!("account {account} of {} places nothing long after the last fault", living.process.pid);
    world.found(Invariant::Stuck, None, words);
    false
}

/// As many calls at once as may be in flight, or as can start before the first one's reply must come: all replies wait for the last one.
async fn fills(world: &Arc<World>, living: &Living, account: usize) {
    let rate = world.plan.share();
    let startable = u64::from(rate.count().get()) * HELD / rate.period().as_secs().max(1);
    let many = startable.min(world.plan.in_flight.get().into()) as usize;
    world.probes(account, many);
    let names: Vec<_> = (0..many).map(|number| format!("fill-{number}")).collect();
    let ends = join_all(names.iter().map(|name| probe(world, living, account, name))).await;
    for _ in ends.iter().filter(|end| **end != End::Placed) {
        let words =
            format!("{many} calls in flight did not fit into account {account} of {}", living.process.pid);
        world.found(Invariant::Leaked, None, words);
    }
}

async fn probe(world: &Arc<World>, living: &Living, account: usize, name: &str) -> End {
    let key = format!("{name}-{}-{}-{account}", living.process.pid.process, living.process.pid.start);
    let ended = End::of(&living.client.place(order(&key).timeout(PATIENCE)).await);
    world.tell("caller", Some(&key), || format!("the probe ends {ended:?}"));
    ended
}

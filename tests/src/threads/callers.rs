//! How calls end for those who make them.

use std::sync::Arc;
use std::time::Duration;

use trunkline::{Client, Clock, Error, Lane, NewCall, Order, Placed, SystemClock};
use trunkline_core_types::EntropyExt;
use trunkline_core_types::SeededEntropy;

use super::plan::Plan;
use crate::end::End;

/// All ends of each call, over all rounds and callers.
#[derive(Debug)]
pub(super) struct Ends(pub(super) Vec<Vec<End>>);

impl Ends {
    pub(super) fn new(calls: usize) -> Self {
        Self(vec![Vec::new(); calls])
    }

    pub(super) fn add(&mut self, seen: Vec<(usize, End)>) {
        for (number, end) in seen {
            self.0[number].push(end);
        }
    }

    /// Calls whose callers have reason to try again: not placed, not refused.
    pub(super) fn unplaced(&self) -> Vec<usize> {
        let settled = |ends: &[End]| ends.iter().any(|end| matches!(end, End::Placed | End::Rejected));
        (0..self.0.len()).filter(|number| !settled(&self.0[*number])).collect()
    }
}

/// The number that call rings; no other call rings it.
pub(super) fn person(plan: &Plan, number: usize) -> String {
    format!("+1{:03}{number:07}", 400 + plan.seed)
}

pub(super) fn order(plan: &Plan, number: usize) -> Order {
    let call = NewCall::say(&person(plan, number), "hello").unwrap();
    // Interactive calls would starve bulk at this load.
    Order::new(call).key(&format!("call-{number}")).unwrap().lane(Lane::Bulk)
}

/// One call, as its number says: by one caller, by two on threads of their own, or by one who gives up and comes back.
pub(super) async fn one(
    client: &Client,
    plan: &Arc<Plan>,
    number: usize,
    entropy: &SeededEntropy,
) -> Vec<End> {
    match number % 4 {
        0 => {
            let (first, second) = (caller(client, plan, number), caller(client, plan, number));
            vec![End::of(&first.await.unwrap()), End::of(&second.await.unwrap())]
        }
        1 => {
            let first = give_up(client, plan, number, entropy).await;
            vec![first, End::of(&client.place(order(plan, number)).await)]
        }
        _ => vec![End::of(&client.place(order(plan, number)).await)],
    }
}

fn caller(client: &Client, plan: &Plan, number: usize) -> tokio::task::JoinHandle<Result<Placed, Error>> {
    let (client, order) = (client.clone(), order(plan, number));
    tokio::spawn(async move { client.place(order).await })
}

/// Drops the call at any moment, most often from another thread than the one that drives it.
async fn give_up(client: &Client, plan: &Plan, number: usize, entropy: &SeededEntropy) -> End {
    let clock = SystemClock::new();
    let placing = caller(client, plan, number);
    let patience = entropy.below(120);
    match patience % 3 {
        0 => clock.sleep_until(clock.now() + Duration::from_millis(patience)).await,
        _ => {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        }
    }
    placing.abort();
    match placing.await {
        Ok(result) => End::of(&result),
        Err(stopped) if stopped.is_cancelled() => End::Dropped,
        Err(panicked) => panic!("{panicked}"),
    }
}

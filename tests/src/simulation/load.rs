//! What the users of the client do: bulk, single calls, impatience, two callers of one key.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::{StreamExt, stream};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Clock, Error, ErrorKind, Journal, NewCall, Order, Placed, Rate, RetrySettings,
    SeededEntropy,
};
use trunkline_core_types::{EntropyExt, VirtualClock};
use trunkline_journal::MemoryJournal;

use super::plan::Plan;
use super::provider::World;
use super::slow::{SlowJournal, SlowKeys, Unkeyed};
use super::wire::SimDial;

/// How a call ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Placed,
    Rejected,
    Unsent,
    Ambiguous,
    /// The caller dropped it.
    Dropped,
}

/// What the callers saw, and what the client left behind.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) calls: Vec<(String, End)>,
    /// Operations still counted as under way after everything ended.
    pub(super) leaked: u64,
    /// Calls that took longer than their deadline and a tick.
    pub(super) late: u64,
}

const SINGLE_TIMEOUT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(2);

pub(super) async fn place(plan: &Plan, world: &Arc<World>, clock: Arc<VirtualClock>, seed: u64) -> Ended {
    let client = client(plan, world, clock.clone(), seed);
    let singles = plan.calls / 10;
    let bulk = client.place_all(stream::iter((0..plan.calls - singles).map(|n| order(&format!("bulk-{n}")))));
    let bulk = bulk.map(|(key, result)| (key.as_str().to_owned(), end(&result))).collect::<Vec<_>>();
    let entropy = SeededEntropy::new(seed.wrapping_add(1));
    // Spread over the time that the bulk takes.
    let spread = plan.calls as u64 * 1000 / u64::from(plan.per_second.get());
    let single = join_all((0..singles).map(|n| {
        let patience = Duration::from_millis(entropy.below(3000));
        let impatient = entropy.below(4) == 0;
        let begins = Duration::from_millis(entropy.below(spread.max(1)));
        one(&client, &clock, format!("single-{n}"), begins, impatient.then_some(patience))
    }));
    let (bulk, single) = futures_util::future::join(bulk, single).await;
    let mut ended = Ended { calls: bulk, ..Ended::default() };
    for (call, late) in single.into_iter().flatten() {
        ended.late += u64::from(late);
        ended.calls.push(call);
    }
    ended.leaked = client.shutdown(Duration::from_secs(60)).await.under_way as u64;
    ended
}

/// One caller, or two at once of the same key; some give up.
async fn one(
    client: &Client,
    clock: &VirtualClock,
    key: String,
    begins: Duration,
    patience: Option<Duration>,
) -> Vec<((String, End), bool)> {
    clock.sleep_until(clock.now() + begins).await;
    let began = clock.now();
    let place = || Box::pin(client.place(order(&key).timeout(SINGLE_TIMEOUT)));
    let ends = match patience {
        Some(patience) => {
            let timer = clock.sleep_until(began + patience);
            match select(place(), timer).await {
                Either::Left((result, _)) => vec![end(&result)],
                Either::Right((_, call)) => {
                    drop(call);
                    vec![End::Dropped]
                }
            }
        }
        None => {
            let (first, second) = futures_util::future::join(place(), place()).await;
            vec![end(&first), end(&second)]
        }
    };
    let late = clock.now() > began + SINGLE_TIMEOUT + TICK;
    ends.into_iter().map(|end| ((key.clone(), end), late)).collect()
}

fn order(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

fn end(result: &Result<Placed, Error>) -> End {
    match result.as_ref().map_err(Error::kind) {
        Ok(_) => End::Placed,
        Err(ErrorKind::Rejected) => End::Rejected,
        Err(ErrorKind::Unsent) => End::Unsent,
        Err(ErrorKind::Ambiguous) => End::Ambiguous,
        Err(other) => panic!("the load has no bad input: {other:?}"),
    }
}

fn client(plan: &Plan, world: &Arc<World>, clock: Arc<VirtualClock>, seed: u64) -> Client {
    let inner = MemoryJournal::new(clock.clone());
    let journal = SlowJournal { inner, world: world.clone(), slow: plan.slow };
    let mut retry = RetrySettings::default();
    retry.max_tries = plan.max_tries;
    let mut builder = Client::builder(Journal::custom(Arc::new(journal)))
        .clock(clock)
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .retry(retry)
        .bulk_concurrency(plan.concurrency);
    for index in 0..plan.accounts {
        builder = builder.account(account(plan, world, index));
    }
    builder.build().unwrap()
}

fn account(plan: &Plan, world: &Arc<World>, index: usize) -> Account {
    let (id, inner) = (format!("account-{index}"), StaticKeys::new("key".into()).unwrap());
    let keys = SlowKeys { inner, world: world.clone(), slow: plan.slow };
    let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    let account = match plan.keyed {
        true => Account::new(&id, voice, keys),
        false => Account::new(&id, Unkeyed::new(voice), keys),
    };
    account
        .unwrap()
        .pace(Rate::per_second(plan.per_second))
        .tolerance(plan.tolerance)
        .in_flight(plan.in_flight)
        .dial(Arc::new(SimDial { world: world.clone(), account: index }))
}

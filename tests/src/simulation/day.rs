//! A day at a mean of 11.6 calls a second: a daily curve, two outages of the provider, one key rotation; in virtual time, through the
//! real client. Memory stays flat: a call leaves two bytes behind when it is over.

mod curve;
mod peer;
mod report;
mod tally;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Clock, Drained, Error, ErrorKind, Finding, Journal, NewCall, Order, Placed, Rate,
    SeededEntropy, Webhooks,
};
use trunkline_core_types::VirtualClock;
use trunkline_journal::MemoryJournal;

use self::curve::Curve;
use self::peer::DayPeer;
pub use self::report::{Day, Hour, Waits};
use self::tally::{End, Tally};
use super::callbacks::{Receivers, Rung};
use super::exchange::PeerDial;
use super::lives::Step;
use super::operator::Operator;
use super::rotation::{RotatingKeys, Rotation};

/// Calls of a day at 11.6 a second.
pub const CALLS: usize = 1_000_000;

const HOUR: Duration = Duration::from_secs(3_600);
/// A call's live lease ends by its last event, or after this.
const LEASE: Duration = Duration::from_secs(15 * 60);
const LIVE_CALLS: u32 = 2_000;
const TOLERANCE: Duration = Duration::from_millis(50);

/// Runs a day of so many calls. The pace is what a mean of `calls` a day needs at its busiest, and an eighth more.
///
/// # Panics
/// If no runtime can be built.
pub fn run(seed: u64, calls: usize) -> Day {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(VirtualClock::new());
        let curve = Curve::new(calls);
        let pace = Rate::new(curve.pace(), HOUR).unwrap();
        let tally = Arc::new(Tally::new(curve.clone(), calls, pace, TOLERANCE, clock.clone()));
        let rotation = Rotation::at(&[13 * HOUR], Duration::from_secs(600));
        let peer = Arc::new(DayPeer::new(seed, rotation.clone(), tally.clone(), clock.clone()));
        let keys = Arc::new(RotatingKeys::new(rotation, peer::KEY, clock.clone()));
        let client = client(&peer, &keys, pace, clock.clone(), seed);
        place(&client, &peer, &tally, &curve, &clock).await;
        let drained = finish(client, &tally, &clock).await;
        keys.problem(Some(24 * HOUR)).into_iter().for_each(|problem| tally.wrong(problem));
        report::day(&tally, &curve, &peer, drained)
    })
}

/// Places every call of the day while events come in and an operator reconciles once a minute.
async fn place(
    client: &Client,
    peer: &Arc<DayPeer>,
    tally: &Tally,
    curve: &Curve,
    clock: &Arc<VirtualClock>,
) {
    let (midnight, timer) = (clock.now(), clock.clone());
    let orders = stream::iter(curve.arrivals().enumerate()).then(move |(number, at)| {
        let timer = timer.clone();
        async move {
            timer.sleep_until(midnight + at).await;
            order(number)
        }
    });
    let mut placed = client.place_all(orders);
    let work = async {
        while let Some((key, result)) = placed.next().await {
            tally.ended(peer::number(key.as_str()), end(&result));
        }
        peer.callbacks.close();
    };
    let operator = Operator::new(false);
    let reconcile = operator.every(Duration::from_secs(60), clock, || {
        settle(&operator, tally);
        Some(client.clone())
    });
    let web = Web { webhooks: client.webhooks(), tally };
    let deliver = peer.callbacks.deliver(&web);
    let both = futures_util::future::join(work, deliver);
    // The operator goes on for as long as there is something to do.
    futures_util::future::select(Box::pin(both), Box::pin(reconcile)).await;
    settle(&operator, tally);
}

/// What is still open after the last event is asked about once more, behind every delay.
async fn finish(client: Client, tally: &Tally, clock: &Arc<VirtualClock>) -> Drained {
    clock.sleep_until(clock.now() + Duration::from_secs(180)).await;
    let operator = Operator::new(false);
    for _ in 0..3 {
        operator.look(&client, clock, 10_000).await;
    }
    settle(&operator, tally);
    client.shutdown(Duration::from_secs(60)).await
}

fn settle(operator: &Operator, tally: &Tally) {
    for found in operator.take() {
        let number = peer::number(&found.key);
        if let Some(problem) = Operator::problem(&found, tally.rung(number)) {
            tally.wrong(format!("{}: {problem}", found.key));
        }
        match found.finding {
            Finding::Placed => tally.proven(number, End::Placed),
            Finding::ProvenAbsent => tally.proven(number, End::Absent),
            _ => {}
        }
    }
}

/// The web server that takes the events.
struct Web<'a> {
    webhooks: Webhooks,
    tally: &'a Tally,
}

impl Receivers for Web<'_> {
    fn next(&self) -> Option<(u32, Webhooks)> {
        Some((0, self.webhooks.clone()))
    }

    fn taken(&self, call: &Rung, _: Step) {
        self.tally.proven(peer::number(&call.key), End::Placed);
    }

    fn wrong(&self, key: &str, problem: String) {
        self.tally.wrong(format!("{key}: {problem}"));
    }
}

fn order(number: usize) -> Order {
    let call = NewCall::say(&format!("{}{number:07}", peer::PREFIX), "Your parcel comes today").unwrap();
    Order::new(call).key(&format!("day-{number}")).unwrap()
}

fn end(result: &Result<Placed, Error>) -> End {
    match result.as_ref().map_err(Error::kind) {
        Ok(_) => End::Placed,
        Err(ErrorKind::Rejected) => End::Rejected,
        Err(ErrorKind::Unsent) => End::Unsent,
        Err(ErrorKind::Ambiguous) => End::Ambiguous,
        Err(other) => panic!("the day has no bad input: {other:?}"),
    }
}

fn client(
    peer: &Arc<DayPeer>,
    keys: &Arc<RotatingKeys>,
    pace: Rate,
    clock: Arc<VirtualClock>,
    seed: u64,
) -> Client {
    let secret = RotatingKeys::new(Rotation::none(), peer::SECRET, clock.clone());
    let voice = Arc::new(ClaudeVoice::new("http://127.0.0.1:9").unwrap());
    let account = Account::shared(peer::ACCOUNT, voice, keys.clone())
        .unwrap()
        .signing_keys(secret)
        .callback_base("https://example.com/events")
        .unwrap()
        .pace(pace)
        .tolerance(TOLERANCE)
        .live_calls(NonZeroU32::MIN.saturating_add(LIVE_CALLS - 1), LEASE)
        .dial(Arc::new(PeerDial(peer.clone())));
    // Settled keys go after two hours: nobody asks for them again.
    let journal = MemoryJournal::new(clock.clone()).max_keys(250_000).retention(2 * HOUR);
    Client::builder(Journal::custom(Arc::new(journal)))
        .clock(clock)
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .bulk_concurrency(512)
        .account(account)
        .build()
        .unwrap()
}

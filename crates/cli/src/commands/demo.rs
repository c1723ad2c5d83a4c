//! `trunkline demo`: the whole product on loopback, judged by the simulator's own book.

mod keep;
mod ledger;
mod numbers;
mod progress;
mod reconcile;
mod report;

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream, StreamExt};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Client, Clock, E164, Entropy, IdempotencyKey, InputError, Journal, NewCall, Order, PlaceAll,
    Rate, RetrySettings, Speech, SystemClock, SystemEntropy, TransportSettings,
};
use trunkline_simulator::Simulator;

use crate::args::DemoArgs;
use crate::client::serve_metrics;
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::out::Out;
use keep::Keep;
use ledger::{Ledger, Rings};
use progress::Progress;
use report::Report;

const ACCOUNT: &str = "demo";
/// What the simulated account grants, and the client keeps to.
const PACE: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);
/// The time of each call from its first permit, waits and repeats included.
const TOTAL: Duration = Duration::from_secs(10);
/// The simulator acts when the last byte of a request came; this much is left for a busy machine. Its listings do not lag.
const PROCESSING: Duration = Duration::from_secs(2);
/// After Ctrl-C calls under way have this long to learn their outcome.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: DemoArgs) -> Result<Exit, Problem> {
    let entropy = SystemEntropy::new();
    let seed = args.seed.unwrap_or_else(|| entropy.next());
    let (api_key, secret) = (made_up(&entropy), made_up(&entropy));
    let simulator = judge(&args, seed, &api_key, &secret).await?;
    let keep = Arc::new(Keep::new(ACCOUNT)?);
    let _metrics = serve_metrics(args.metrics_listen)?;
    let client = client(&simulator, api_key, secret, keep.clone())?;
    let people = numbers::fictitious(args.calls)?;
    let clock = SystemClock::new();
    let begun = clock.now();
    let mut placed = place_all(&client, people.clone(), &clock).await?;
    if !placed.interrupted {
        reconcile::settle(&client, &mut placed.ledger, &people, &clock).await?;
    }
    let seconds = clock.now().duration_since(begun).as_secs_f64();
    let book = simulator.book();
    let times_rung = |at: usize| people.get(at).map_or(0, |to| simulator.times_rung(&to.expose()));
    let rings =
        Rings { times_rung: &times_rung, duplicates: book.duplicates, pace_violations: book.pace_violations };
    let failed = placed.ledger.check(&rings, &people);
    let report = Report { ledger: &placed.ledger, book: &book, seen: keep.take(), seconds, seed };
    let mut out = Out::stdout();
    if args.json {
        out.json(&report.to_json())
    } else {
        out.text(&report.to_text())
    }
    failed.iter().for_each(|line| Out::stderr().text(&format!("check failed: {line}")));
    simulator.stop().await;
    Ok(match (failed.is_empty(), placed.interrupted) {
        (false, _) => Exit::CheckFailed,
        (true, true) => Exit::Interrupted,
        (true, false) => Exit::Done,
    })
}

async fn judge(args: &DemoArgs, seed: u64, api_key: &str, secret: &str) -> Result<Simulator, Problem> {
    let builder = Simulator::builder().api_key(api_key).signing_secret(secret).require_signature();
    Ok(builder.rate(PACE).faults(args.faults).seed(seed).start().await?)
}

fn made_up(entropy: &SystemEntropy) -> String {
    format!("demo_{:016x}{:016x}", entropy.next(), entropy.next())
}

fn client(
    simulator: &Simulator,
    api_key: String,
    secret: String,
    keep: Arc<Keep>,
) -> Result<Client, Problem> {
    let provider = ClaudeVoice::new(&simulator.base_url())?;
    let mut transport = TransportSettings::default();
    transport.total_timeout = TOTAL;
    let account = Account::new(ACCOUNT, provider, StaticKeys::new(api_key.into())?)?
        .signing_keys(StaticKeys::new(secret.into())?)
        .pace(Rate::per_second(PACE))
        .transport(transport)
        .processing_delay(PROCESSING)
        .listing_delay(Duration::ZERO);
    // Shorter pauses than the default: the provider is on this machine and a demo should not wait.
    let mut retry = RetrySettings::default();
    (retry.max_tries, retry.base, retry.cap) = (5, Duration::from_millis(200), Duration::from_secs(2));
    Ok(Client::builder(Journal::in_memory()).account(account).retry(retry).observer(keep).build()?)
}

/// What came of all calls.
struct Placing {
    ledger: Ledger,
    interrupted: bool,
}

/// The next thing that happens while calls are placed.
#[expect(clippy::large_enum_variant, reason = "it lives for one turn of a loop")]
enum Next {
    /// A call ended, or none is left.
    Ended(Option<<PlaceAll as Stream>::Item>),
    /// The first Ctrl-C.
    Interrupted,
    /// The grace is over.
    Drained,
}

async fn place_all(client: &Client, people: Vec<E164>, clock: &SystemClock) -> Result<Placing, Problem> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut ledger = Ledger::new(people.len());
    let progress = Progress::new(people.len());
    let mut calls = client.place_all(orders(people, stop.clone(), ledger.taken())?);
    let mut drain_until: Option<Instant> = None;
    let mut interrupt = Box::pin(interrupted());
    loop {
        match next(&mut calls, &mut interrupt, client, drain_until, clock).await {
            Next::Ended(Some((key, result))) => {
                ledger.enter(&key, &result);
                progress.show(&ledger);
            }
            Next::Interrupted => {
                stop.store(true, Ordering::Relaxed);
                drain_until = Some(clock.now() + GRACE);
            }
            Next::Ended(None) | Next::Drained => break,
        }
    }
    drop(calls);
    progress.end();
    Ok(Placing { ledger, interrupted: drain_until.is_some() })
}

/// Results come first, then Ctrl-C or the end of the grace.
async fn next(
    calls: &mut PlaceAll,
    interrupt: &mut (impl Future<Output = ()> + Unpin),
    client: &Client,
    drain_until: Option<Instant>,
    clock: &SystemClock,
) -> Next {
    let ending = pin!(async {
        match drain_until {
            None => {
                interrupt.await;
                Next::Interrupted
            }
            // Asked again after each result: it closes the door once and then only waits.
            Some(until) => {
                client.shutdown(until.saturating_duration_since(clock.now())).await;
                Next::Drained
            }
        }
    });
    match select(calls.next(), ending).await {
        Either::Left((ended, _)) => Next::Ended(ended),
        Either::Right((ending, _)) => ending,
    }
}

/// The calls, until the stop is told. Each has its number's place as its key.
fn orders(
    people: Vec<E164>,
    stop: Arc<AtomicBool>,
    taken: ledger::Taken,
) -> Result<impl Stream<Item = Order> + Send + 'static, InputError> {
    let said = said()?;
    let orders = people.into_iter().enumerate().map_while(move |(at, to)| {
        let key = ledger::key(at).filter(|_| !stop.load(Ordering::Relaxed))?;
        taken.one_more();
        Some(order(key, to, said.clone()))
    });
    Ok(stream::iter(orders))
}

fn said() -> Result<Speech, InputError> {
    Ok(Speech::Text("This is a demonstration call. Nobody hears it.".parse()?))
}

fn order(key: IdempotencyKey, to: E164, said: Speech) -> Order {
    let mut order = Order::new(NewCall::new(to, said));
    order.key = Some(key);
    order
}

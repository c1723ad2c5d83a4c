//! `trunkline batch`: a whole file, paced, with progress, resumable.

mod files;
mod progress;
mod report;

use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use trunkline::batch::{BatchRun, BatchSettings, RowClass, RowResult};
use trunkline::{BoxFuture, Client, Clock, Drained, Error, IdempotencyKey, Lane, Reconciler, SystemClock};

use super::reconcile::Settled;
use crate::args::{BatchArgs, LaneArg};
use crate::client;
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::out::Out;
use crate::settings::Settings;
use files::Files;
use progress::Progress;
use report::Report;

/// After Ctrl-C calls under way have this long to learn their outcome, unless a timeout is set.
const GRACE: Duration = Duration::from_secs(30);

/// How long the provider may take to answer about unknown rows at the end.
const ASKING: Duration = Duration::from_secs(60);
/// The most unknown rows of this run whose later proof is counted.
const UNKNOWN: usize = 10_000;

pub(super) async fn run(args: BatchArgs) -> Result<Exit, Problem> {
    let settings = Settings::load(&args.settings, &|name| std::env::var_os(name))?;
    let provider = client::provider(&settings)?;
    if args.dry_run {
        return report::dry_run(&args, &settings, provider.profile());
    }
    let files = Files::open(&args)?;
    let mut account = client::account(&settings, provider)?;
    // The account's, not each call's: a caller id that is corrected between two runs makes no other calls of the rows.
    if let Some(from) = settings.from {
        account = account.from_number(&from.expose())?;
    }
    let client = Client::builder(files.journal.clone()).account(account).build()?;
    let _metrics = client::serve_metrics(settings.metrics_listen)?;
    let earlier = Settled::by(&reconciler(&client, args.redial_unknown), Duration::ZERO).await;
    let clock = SystemClock::new();
    let begun = clock.now();
    let mut placing = Placing {
        run: client.place_batch(files.batch, batch_settings(&args, &settings)),
        results: files.results,
        rejects: files.rejects,
        progress: Progress::new(files.bytes, begun),
        earlier,
        later: Settled::default(),
        unknown: HashSet::new(),
        why: BTreeMap::new(),
        broken: None,
        interrupts: 0,
    };
    placing.until_the_end(&client, settings.timeout.unwrap_or(GRACE), &clock).await;
    if placing.interrupts == 0 && placing.run.tally().count(RowClass::Ambiguous) > 0 {
        placing.reconcile(&client, Duration::from_secs(args.wait.unwrap_or(0).into()), &clock).await;
    }
    let seconds = clock.now().duration_since(begun).as_secs_f64();
    placing.finish(&args, seconds)
}

/// Asks the provider about what is open; dials nobody. What is proven absent is dialled again only on demand.
fn reconciler(client: &Client, redial: bool) -> Reconciler {
    match redial {
        true => client.reconciler().free_proven_absent(),
        false => client.reconciler(),
    }
}

fn batch_settings(args: &BatchArgs, settings: &Settings) -> BatchSettings {
    let mut batch = BatchSettings::default();
    batch.lane = Some(match args.lane {
        LaneArg::Interactive => Lane::Interactive,
        LaneArg::Bulk => Lane::Bulk,
    });
    (batch.timeout, batch.limit, batch.redial_unknown) = (settings.timeout, args.limit, args.redial_unknown);
    batch
}

/// A batch on its way, and where its results go.
struct Placing {
    run: BatchRun,
    results: Option<files::Results>,
    rejects: trunkline::batch::RejectsWriter,
    progress: Progress,
    /// What became of the unknown calls of earlier runs, and of those that were open at the end of this one.
    earlier: Settled,
    later: Settled,
    /// Rows of this run that are unknown.
    unknown: HashSet<IdempotencyKey>,
    /// Why the first of the rows that were refused was, and the first that was not sent.
    why: BTreeMap<RowClass, Box<str>>,
    /// Why it cannot go on.
    broken: Option<Problem>,
    interrupts: u32,
}

/// The next thing that happens.
enum Next {
    Ended(Option<Result<RowResult, Error>>),
    Interrupted,
    Drained,
}

impl Placing {
    async fn until_the_end(&mut self, client: &Client, grace: Duration, clock: &SystemClock) {
        let mut interrupt: BoxFuture<'_, ()> = Box::pin(interrupted());
        let mut drain: Option<BoxFuture<'_, Drained>> = None;
        loop {
            match next(&mut self.run, &mut interrupt, &mut drain).await {
                Next::Ended(Some(result)) => self.note(result, clock),
                Next::Ended(None) | Next::Drained => break,
                Next::Interrupted if self.interrupts > 0 => {
                    self.interrupts += 1;
                    break;
                }
                Next::Interrupted => {
                    self.interrupts = 1;
                    self.run.stop();
                    interrupt = Box::pin(interrupted());
                    drain = Some(Box::pin(client.shutdown(grace)));
                    self.progress
                        .say("stopping: no new calls, waiting for answers; Ctrl-C again stops at once");
                }
            }
        }
        self.progress.end();
    }

    /// Asks about the rows that stayed unknown, as far as their time comes before `wait` is over. Ctrl-C ends it.
    async fn reconcile(&mut self, client: &Client, wait: Duration, clock: &SystemClock) {
        if !wait.is_zero() {
            self.progress
                .say("waiting until the provider can say what became of unknown rows; Ctrl-C ends the wait");
        }
        let (reconciler, over) = (client.reconciler(), clock.sleep_until(clock.now() + wait + ASKING));
        let settled = pin!(Settled::by(&reconciler, wait));
        let ending = select(Box::pin(interrupted()), over);
        // What was settled before it ended stands in the journal all the same.
        if let Either::Left((settled, _)) = select(settled, ending).await {
            self.later = settled;
        }
    }

    fn note(&mut self, result: Result<RowResult, Error>, clock: &SystemClock) {
        if let Ok(row) = &result
            && row.class == RowClass::Ambiguous
            && let Some(key) = row.key.clone().filter(|_| self.unknown.len() < UNKNOWN)
        {
            self.unknown.insert(key);
        }
        let noted = match &result {
            Ok(result) => self.write(result),
            Err(error) => Err(error.clone().into()),
        };
        if let Err(problem) = noted {
            // The journal has the call; what cannot be reported is not dialled either.
            self.run.stop();
            self.broken.get_or_insert(problem);
        }
        self.progress.show(&self.run, clock.now());
    }

    fn write(&mut self, result: &RowResult) -> Result<(), Problem> {
        let unwritten = |what: &str, error: std::io::Error| {
            Problem::unsent(format!(
                "{what}: cannot be written: {}; no more calls were started",
                error.kind()
            ))
        };
        // What ends unsent after Ctrl-C does so for no other reason.
        let is_told =
            result.class == RowClass::Rejected || result.class == RowClass::Unsent && self.interrupts == 0;
        if let Some(error) = result.error.clone().filter(|_| is_told) {
            self.why.entry(result.class).or_insert(error);
        }
        if let Some(results) = &mut self.results {
            results.write(result).map_err(|error| unwritten("out", error))?;
        }
        self.rejects.write(result).map_err(|error| unwritten("rejects", error))
    }

    fn finish(self, args: &BatchArgs, seconds: f64) -> Result<Exit, Problem> {
        let under_way = self.run.under_way();
        let report = Report {
            tally: self.run.tally(),
            seconds,
            earlier: &self.earlier,
            later: &self.later,
            unknown: &self.unknown,
            why: &self.why,
            under_way,
            interrupted: self.interrupts > 0,
            gave_up: self.run.gave_up(),
            rejects: files::rejects_path(args),
            journal: files::journal_path(args),
        };
        if let Some(problem) = self.broken {
            // The counts all the same: calls were placed.
            Out::stderr().text(&report.to_text());
            return Err(problem);
        }
        let mut out = Out::stdout();
        if args.json {
            out.json(&report.to_json());
        } else {
            out.text(&report.to_text());
        }
        report.advice().iter().for_each(|line| Out::stderr().text(line));
        Ok(report.exit())
    }
}

/// Ctrl-C first, so that many results cannot keep it waiting; the end of the grace last, so that no result is lost.
async fn next(
    run: &mut BatchRun,
    interrupt: &mut BoxFuture<'_, ()>,
    drain: &mut Option<BoxFuture<'_, Drained>>,
) -> Next {
    poll_fn(|cx| {
        if Pin::new(&mut *interrupt).poll(cx).is_ready() {
            return Poll::Ready(Next::Interrupted);
        }
        if let Poll::Ready(ended) = run.poll_next_unpin(cx) {
            return Poll::Ready(Next::Ended(ended));
        }
        match drain {
            Some(drain) => Pin::new(drain).poll(cx).map(|_| Next::Drained),
            None => Poll::Pending,
        }
    })
    .await
}

/// The class that decides the exit code: the worst that happened.
fn exit_of(count: impl Fn(RowClass) -> u64) -> Exit {
    let any = |classes: &[RowClass]| classes.iter().any(|class| count(*class) > 0);
    if any(&[RowClass::Unsent]) {
        Exit::Unsent
    } else if any(&[RowClass::Ambiguous]) {
        Exit::Unknown
    } else if any(&[RowClass::Rejected, RowClass::NotAllowed, RowClass::Input]) {
        Exit::Rejected
    } else {
        Exit::Done
    }
}

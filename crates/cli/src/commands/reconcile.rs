//! `trunkline reconcile`: what became of a journal's calls whose outcome is not known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use trunkline::{
    Client, Clock, Error, Finding, IdempotencyKey, Journal, Reconciler, SqliteJournal, SqliteSettings,
    SystemClock,
};

use crate::args::ReconcileArgs;
use crate::client;
use crate::exit::{Exit, Problem};
use crate::out::Out;
use crate::render::table;
use crate::settings::Settings;

/// The most calls of one run; what is more comes with the next command.
const AT_ONCE: usize = 10_000;
/// How long a settled key is kept: as good as for ever, as a batch keeps it.
pub(super) const RETENTION: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What runs of a reconciler found, the last word on each call.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) findings: BTreeMap<IdempotencyKey, Finding>,
    pub(super) open: usize,
    pub(super) waiting: usize,
    pub(super) next_in: Option<Duration>,
    pub(super) error: Option<Error>,
}

impl Settled {
    pub(super) fn count(&self, finding: Finding) -> usize {
        self.findings.values().filter(|found| **found == finding).count()
    }

    /// Runs once, and again while calls wait for their time that comes before `wait` is over.
    pub(super) async fn by(reconciler: &Reconciler, wait: Duration) -> Self {
        let clock = SystemClock::new();
        let until = clock.now() + wait;
        let mut settled = Self::default();
        loop {
            let report = reconciler.run_once(AT_ONCE).await;
            settled.findings.extend(report.findings);
            (settled.open, settled.waiting, settled.next_in) = (report.open, report.waiting, report.next_in);
            settled.error = report.error;
            // A moment more, so that the calls of one second are one run.
            let next = settled.next_in.map(|next| clock.now() + next + Duration::from_secs(1));
            match next {
                Some(next) if next <= until => clock.sleep_until(next).await,
                _ => return settled,
            }
        }
    }

    /// Freed keys are open no more, and every other call that was looked at and not placed is.
    pub(super) fn exit(&self) -> Exit {
        match (self.count(Finding::Failed) > 0 || self.error.is_some(), self.open) {
            (true, _) => Exit::Unsent,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Unknown,
        }
    }
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
struct Shown {
    placed: usize,
    proven_absent: usize,
    still_unknown: usize,
    failed: usize,
    open: usize,
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_in_s: Option<u64>,
}

pub(super) async fn run(args: ReconcileArgs) -> Result<Exit, Problem> {
    let settings = Settings::load(&args.settings, &|name| std::env::var_os(name))?;
    let provider = client::provider(&settings)?;
    let account = client::account(&settings, provider)?;
    let client = Client::builder(journal(&args)?).account(account).build()?;
    let _metrics = client::serve_metrics(settings.metrics_listen)?;
    let reconciler = match args.free_proven_absent {
        true => client.reconciler().free_proven_absent(),
        false => client.reconciler(),
    };
    let wait = Duration::from_secs(args.wait.unwrap_or(0).into());
    let settled = Settled::by(&reconciler, wait).await;
    let shown = Shown {
        placed: settled.count(Finding::Placed),
        proven_absent: settled.count(Finding::ProvenAbsent),
        still_unknown: settled.count(Finding::StillUnknown),
        failed: settled.count(Finding::Failed),
        open: settled.open,
        waiting: settled.waiting,
        next_in_s: settled.next_in.map(|next| next.as_secs() + 1),
    };
    if args.json {
        Out::stdout().json(&shown);
    } else {
        Out::stdout().text(&text(&shown, args.free_proven_absent));
    }
    advice(&settled, &args).iter().for_each(|line| Out::stderr().text(line));
    Ok(settled.exit())
}

/// A path that holds no journal is an error and never a new journal.
fn journal(args: &ReconcileArgs) -> Result<Journal, Problem> {
    drop(SqliteJournal::read_only(&args.journal).map_err(|error| Problem::journal(&args.journal, &error))?);
    let mut settings = SqliteSettings::new(Arc::new(SystemClock::new()));
    settings.retention = RETENTION;
    Ok(Journal::sqlite_with(&args.journal, settings)?)
}

fn text(shown: &Shown, frees: bool) -> String {
    let absent = if frees { "their keys are free: the next batch dials them" } else { "they stay open" };
    let rows = [
        ("placed", shown.placed, "never dialled again"),
        ("not placed", shown.proven_absent, absent),
        ("still unknown", shown.still_unknown, "the provider's answer proves nothing"),
        ("failed", shown.failed, "could not be asked about or noted"),
        ("waiting", shown.waiting, "the provider cannot know yet"),
        ("open", shown.open, "in all, after this run"),
    ];
    let rows = rows.map(|(name, count, means)| vec![name.to_owned(), count.to_string(), means.to_owned()]);
    table(&["calls", "", ""], rows)
}

fn advice(settled: &Settled, args: &ReconcileArgs) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(error) = &settled.error {
        advice.push(format!("{error}; `trunkline doctor` checks keys, address and clock"));
    }
    if let Some(next) = settled.next_in {
        let (count, next) = (settled.waiting, next.as_secs() + 1);
        advice
            .push(format!("{count} calls wait, the first for {next} s more; --wait SECONDS waits for them"));
    }
    if settled.count(Finding::ProvenAbsent) > 0 && !args.free_proven_absent {
        advice.push("--free-proven-absent frees the keys of calls that were not placed".to_owned());
    }
    advice
}

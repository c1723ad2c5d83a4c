//! `trunkline status`: what a journal holds, also beside the batch that writes it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use trunkline::{Clock, JournalStatus, SqliteJournal, SystemClock, Timestamp};

use crate::args::StatusArgs;
use crate::exit::{Exit, Problem};
use crate::out::Out;
use crate::render::table;

/// Counts as they are printed.
#[derive(Debug, Serialize)]
struct Shown {
    placed: u64,
    rejected: u64,
    unknown: u64,
    under_way: u64,
    free: u64,
    /// Until when the oldest open call may still leave; null if none is open.
    oldest_open_fence: Option<String>,
    /// Whole seconds since then; 0 while that time has not come, null if none is open.
    oldest_open_age_s: Option<u64>,
    /// Of the placed calls, how many stand where.
    calls: BTreeMap<String, u64>,
}

impl Shown {
    fn new(status: JournalStatus, calls: &[(String, u64)], now: SystemTime) -> Self {
        let age = |fence| now.duration_since(fence).unwrap_or_default().as_secs();
        Self {
            oldest_open_age_s: status.oldest_open_fence.map(age),
            calls: calls.iter().cloned().collect(),
            placed: status.accepted,
            rejected: status.rejected,
            unknown: status.left,
            under_way: status.claimed + status.open.saturating_sub(status.left),
            free: status.free,
            oldest_open_fence: status
                .oldest_open_fence
                .and_then(|at| Timestamp::try_from(at).ok())
                .map(|at| at.to_string()),
        }
    }
}

pub(super) fn run(args: &StatusArgs) -> Result<Exit, Problem> {
    let view =
        SqliteJournal::read_only(&args.journal).map_err(|error| Problem::journal(&args.journal, &error))?;
    let unread = |error| Problem::journal(&args.journal, &error);
    let (status, calls) = (view.status().map_err(unread)?, view.call_states().map_err(unread)?);
    let shown = Shown::new(status, &calls, SystemClock::new().wall());
    if args.json {
        Out::stdout().json(&shown);
        return Ok(Exit::Done);
    }
    let rows = [
        ("placed", shown.placed.to_string(), "never dialled again"),
        ("rejected", shown.rejected.to_string(), "the provider will not place them"),
        ("unknown", shown.unknown.to_string(), "may have rung; `trunkline reconcile` asks the provider"),
        ("under way", shown.under_way.to_string(), "or left so by a crash"),
        ("free", shown.free.to_string(), "not placed; the next run dials them"),
    ];
    let rows = rows.map(|(name, count, means)| vec![name.to_owned(), count, means.to_owned()]);
    Out::stdout().text(&table(&["keys", "", ""], rows));
    if !calls.is_empty() {
        let rows = calls.into_iter().map(|(state, count)| vec![state, count.to_string()]);
        Out::stdout().text(&table(&["placed calls", ""], rows));
    }
    if let Some(age) = shown.oldest_open_age_s.filter(|age| *age > 0) {
        Out::stdout().text(&format!("the oldest call that is open was to be over {age} s ago"));
    }
    Ok(Exit::Done)
}

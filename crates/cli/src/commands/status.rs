//! `trunkline status`: what a journal holds, also beside the batch that writes it.

use serde::Serialize;
use trunkline::{JournalStatus, SqliteJournal, Timestamp};

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
}

impl From<JournalStatus> for Shown {
    fn from(status: JournalStatus) -> Self {
        Self {
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
    let shown = Shown::from(view.status().map_err(|error| Problem::journal(&args.journal, &error))?);
    if args.json {
        Out::stdout().json(&shown);
        return Ok(Exit::Done);
    }
    let rows = [
        ("placed", shown.placed.to_string(), "never dialled again"),
        ("rejected", shown.rejected.to_string(), "the provider will not place them"),
        ("unknown", shown.unknown.to_string(), "may have rung; not dialled again by itself"),
        ("under way", shown.under_way.to_string(), "or left so by a crash"),
        ("free", shown.free.to_string(), "not placed; the next run dials them"),
    ];
    let rows = rows.map(|(name, count, means)| vec![name.to_owned(), count, means.to_owned()]);
    Out::stdout().text(&table(&["keys", "", ""], rows));
    Ok(Exit::Done)
}

//! What noting costs: `place` through the whole stack over a wire in memory, its journal in memory or in a file, alone and 64 at once;
//! and the two journals by themselves.

mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use trunkline::{Client, Journal, SystemClock};
use trunkline_core_types::AttemptJournal;
use trunkline_journal::{MemoryJournal, SqliteJournal, SqliteSettings};

use crate::contenders::{Contender, Full, account};
use crate::report::{Group, Table};
use crate::stack::MemoryDial;
use crate::wire::{drive, now, used};

const BASE: &str = "http://127.0.0.1:9";
/// Rounds, of which the best counts: a neighbour on the disk or the processor only ever slows one down.
const ROUNDS: usize = 5;
const CALLERS: [usize; 2] = [1, 64];

/// Which journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Memory,
    Sqlite,
}

impl Store {
    const ALL: [Self; 2] = [Self::Memory, Self::Sqlite];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::Sqlite => "SQLite, full sync",
        }
    }

    fn open(self, folder: &Path) -> Result<Arc<dyn AttemptJournal>> {
        let clock = Arc::new(SystemClock::new());
        Ok(match self {
            Self::Memory => Arc::new(MemoryJournal::new(clock)),
            Self::Sqlite => {
                Arc::new(SqliteJournal::open(folder.join("calls.journal"), SqliteSettings::new(clock))?)
            }
        })
    }

    /// About half a second of it.
    fn calls(self, callers: usize) -> usize {
        match (self, callers) {
            (Self::Memory, _) => 20_000,
            (Self::Sqlite, 1) => 600,
            (Self::Sqlite, _) => 6_400,
        }
    }
}

/// What one run gave.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    calls: f64,
    cpu: f64,
}

/// Runs all rounds and adds the tables. The file lies in `folder` for as long as it is measured.
pub(crate) fn measure(folder: &Path, group: &mut Group) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let columns = ["journal", "callers", "calls/s", "us CPU a call", "beside one caller"];
    let mut place = Table::new("place over a wire in memory, whole stack", &columns);
    let mut alone = Table::new("the journal alone: claim, begin, end, settle", &columns);
    let mut grouped = f64::NAN;
    for store in Store::ALL {
        let (mut one, mut one_alone) = (f64::NAN, f64::NAN);
        for callers in CALLERS {
            let row = |rate: Rate, one: &mut f64| {
                *one = if one.is_nan() { rate.calls } else { *one };
                [callers as f64, rate.calls, rate.cpu, rate.calls / *one]
            };
            let placed = best(folder, |folder| runtime.block_on(placed(store, folder, callers)))?;
            place.row(store.name(), row(placed, &mut one));
            let noted = best(folder, |folder| runtime.block_on(noted(store, folder, callers)))?;
            alone.row(store.name(), row(noted, &mut one_alone));
            grouped = noted.calls / one_alone;
        }
    }
    group.add(place);
    group.add(alone);
    group.at_least("SQLite alone, 64 callers beside one", 5.0, grouped);
    Ok(())
}

fn best(folder: &Path, mut run: impl FnMut(&Path) -> Result<Rate>) -> Result<Rate> {
    let mut best = Rate::default();
    for _ in 0..ROUNDS {
        let place = Place::new(folder)?;
        let rate = run(&place.0)?;
        best = if rate.calls > best.calls { rate } else { best };
    }
    Ok(best)
}

async fn placed(store: Store, folder: &Path, callers: usize) -> Result<Rate> {
    let account = account(BASE)?.dial(Arc::new(MemoryDial::default()));
    let client = Client::builder(Journal::custom(store.open(folder)?)).account(account).build()?;
    let (client, calls) = (Arc::new(Full::of(client)), store.calls(callers));
    drive(&client, callers, calls / 4).await?;
    timed(calls, drive(&client, callers, calls)).await
}

async fn noted(store: Store, folder: &Path, callers: usize) -> Result<Rate> {
    let (steps, calls) = (Arc::new(steps::Steps::over(store.open(folder)?)), store.calls(callers));
    drive(&steps, callers, calls / 4).await?;
    timed(calls, drive(&steps, callers, calls)).await
}

async fn timed(calls: usize, run: impl Future<Output = Result<()>>) -> Result<Rate> {
    let (began, before): (Instant, _) = (now(), used()?);
    run.await?;
    let (took, cpu) = (began.elapsed().as_secs_f64(), (used()? - before).as_secs_f64());
    Ok(Rate { calls: calls as f64 / took, cpu: cpu * 1e6 / calls as f64 })
}

/// A folder for one run, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("journal-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The journal in memory alone, so often: something to run under a profiler.
pub(crate) fn repeat(calls: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let steps = steps::Steps::over(Store::Memory.open(Path::new("."))?);
    runtime.block_on(async {
        for _ in 0..calls {
            steps.call().await?;
        }
        Ok(())
    })
}

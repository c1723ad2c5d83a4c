//! A file of calls through the whole stack against the simulator, with what it takes in memory; the article's gather beside it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use trunkline::batch::{Batch, BatchSettings, Columns, ResultsWriter, RowClass};
use trunkline::{Client, Journal};
use trunkline_simulator::{Faults, Simulator};

use crate::contenders::{self, KEY, SECRET};
use crate::report::{Group, Table};
use crate::wire::{now, used};

/// Names the Python that has aiohttp; without it the article's gather is left out.
const PYTHON: &str = "TRUNKLINE_BENCH_PYTHON";
/// What a million calls from a file may add to an idle process.
const GROWTH_MIB: f64 = 32.0;

/// The article's gather holds every call and its task in memory: a million would take gigabytes.
const MOST_GATHERED: usize = 100_000;

/// Who places the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    Sqlite,
    Memory,
    Gather,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "trunkline place_batch, SQLite journal",
            Self::Memory => "trunkline place_batch, journal in memory",
            Self::Gather => "the article's gather, aiohttp",
        }
    }
}

/// One file, placed once.
#[derive(Debug, Args)]
pub(crate) struct Placing {
    /// Which journal.
    #[arg(long)]
    who: Who,
    /// The simulator's URL.
    #[arg(long)]
    base: String,
    /// The calls, as CSV.
    #[arg(long)]
    file: PathBuf,
}

/// What one process measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    placed: u64,
    seconds: f64,
    /// Processor seconds of the process, user and system.
    cpu: f64,
    /// Resident size, KiB: ready and idle, and the most it was.
    idle: u64,
    peak: u64,
}

/// Places a file of so many rows with each and adds the table.
pub(crate) fn measure(rows: usize, folder: &Path, group: &mut Group) -> Result<()> {
    let place = folder.join(format!("batch-{}", std::process::id()));
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let measured = all(rows, &place, group);
    let _ = fs::remove_dir_all(&place);
    measured
}

fn all(rows: usize, place: &Path, group: &mut Group) -> Result<()> {
    let columns = ["who", "calls", "calls/s", "us CPU a call", "idle MiB", "growth MiB"];
    let mut table =
        Table::new(format!("a file of {rows} calls against the simulator, without pacing"), &columns);
    for who in [Who::Sqlite, Who::Memory, Who::Gather] {
        let rows = if who == Who::Gather { rows.min(MOST_GATHERED) } else { rows };
        let file = place.join("calls.csv");
        write_rows(&file, rows)?;
        let Some(measured) = once(who, &file)? else { continue };
        ensure!(measured.placed == rows as u64, "{}: {} of {rows} placed", who.name(), measured.placed);
        let calls = measured.placed as f64;
        let growth = measured.peak.saturating_sub(measured.idle) as f64 / 1024.0;
        let rate = calls / measured.seconds;
        table.row(
            who.name(),
            [calls, rate, measured.cpu * 1e6 / calls, measured.idle as f64 / 1024.0, growth],
        );
        if who == Who::Sqlite {
            group.at_most("growth of the process over the file, SQLite journal, MiB", GROWTH_MIB, growth);
        }
    }
    group.add(table);
    Ok(())
}

fn write_rows(file: &Path, rows: usize) -> Result<()> {
    let mut writer = BufWriter::new(File::create(file).context("cannot write the file of calls")?);
    writeln!(writer, "to,name")?;
    for row in 0..rows {
        writeln!(writer, "+1202{row:07},Person {row}")?;
    }
    writer.flush().context("cannot write the file of calls")
}

/// A fresh simulator and a fresh process that places the file; `None` where there is no Python for it.
fn once(who: Who, file: &Path) -> Result<Option<Measured>> {
    let itself = std::env::current_exe().context("cannot find this program's own file")?;
    let mut client = match (who, std::env::var_os(PYTHON)) {
        (Who::Gather, None) => return Ok(None),
        (Who::Gather, Some(python)) => {
            let mut gather = Command::new(python);
            gather.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/article_gather.py"));
            gather
        }
        _ => {
            let mut ours = Command::new(&itself);
            ours.args(["place-batch", "--who", if who == Who::Sqlite { "sqlite" } else { "memory" }]);
            ours
        }
    };
    let (_simulator, base) = Server::start(Command::new(itself).arg("simulate"))?;
    let output = client.args(["--base", &base, "--file"]).arg(file).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", who.name()))?;
    if !output.status.success() {
        bail!("{} failed ({})", who.name(), output.status);
    }
    serde_json::from_slice(&output.stdout).map(Some).context("a client printed no result")
}

/// A child that ends with its stdin.
struct Server {
    child: Child,
    /// Open for as long as it runs: what it prints must go somewhere.
    _printed: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it and reads the line it prints.
    fn start(command: &mut Command) -> Result<(Self, String)> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.context("cannot start the simulator")?;
        let printed = child.stdout.take().context("the simulator has no stdout")?;
        let (mut printed, mut line) = (BufReader::new(printed), String::new());
        printed.read_line(&mut line).context("the simulator printed no address")?;
        Ok((Self { child, _printed: printed }, line.trim().to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The simulator's process: no faults, any rate, no callbacks.
pub(crate) fn simulate() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let builder = Simulator::builder().api_key(KEY).signing_secret(SECRET).faults(Faults::none());
        let simulator = builder.rate(NonZeroU32::MAX).start().await?;
        println!("{}", simulator.base_url());
        // The parent's end is ours, however it ends.
        let ended = tokio::task::spawn_blocking(|| std::io::Read::read(&mut std::io::stdin(), &mut [0]));
        let _ = ended.await;
        simulator.stop().await;
        Ok(())
    })
}

/// The client's process: prints one line.
pub(crate) fn place(placing: &Placing) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(placed(placing))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn placed(placing: &Placing) -> Result<Measured> {
    let beside = |extension: &str| placing.file.with_extension(extension);
    let journal = match placing.who {
        Who::Sqlite => Journal::sqlite(beside("journal"))?,
        _ => Journal::in_memory(),
    };
    let client = Client::builder(journal).account(contenders::account(&placing.base)?).build()?;
    let columns = Columns::new("bench").say_template("Hello {name}, your table is ready.")?;
    let batch = Batch::csv(File::open(&placing.file).context("cannot read the file of calls")?, columns)?;
    let mut results = ResultsWriter::append(&beside("results.jsonl"))?;
    let idle = status("VmRSS:");
    let (began, before) = (now(), used()?);
    let mut run = client.place_batch(batch, BatchSettings::default());
    while let Some(result) = run.next().await {
        results.write(&result?)?;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), (used()? - before).as_secs_f64());
    Ok(Measured { placed: run.tally().count(RowClass::Placed), seconds, cpu, idle, peak: status("VmHWM:") })
}

/// A size that the kernel tells of this process, KiB; 0 where it tells none.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

//! `cargo xtask simulate --mutations`: one mutation of the code after another, each in a process of its own, until the simulation finds it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task reports to its terminal")]

mod found;
mod mutants;
mod table;

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use futures_util::{StreamExt, stream};
use trunkline_core_types::{Clock, ClockExt, SystemClock};

use found::Found;
use mutants::Mutant;
use table::Row;

/// Real time that one mutant may take; one that hangs is not found.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which mutation of the code is found by what, and after how many calls.
#[derive(Parser)]
struct Args {
    /// How many seeds at most.
    #[arg(long, default_value_t = 30)]
    seeds: u64,
    /// Calls of each seed.
    #[arg(long, default_value_t = 300)]
    calls: usize,
    /// Only mutations with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Runs the seeds with the mutation of the environment and prints what was found.
    #[arg(long, hide = true)]
    one: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match if args.one { one(&args) } else { all(&args) } {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The child: this process has one mutation, or none.
fn one(args: &Args) -> Result<bool> {
    let name = std::env::var(mutants::VARIABLE).unwrap_or_default();
    if !mutants::all().iter().any(|mutant| mutant.name == name) {
        bail!("this build has no mutation {name:?}");
    }
    let found = found::search(args.seeds, args.calls);
    println!("{}", serde_json::to_string(&found)?);
    Ok(true)
}

fn all(args: &Args) -> Result<bool> {
    let mutants = mutants::all();
    if mutants.len() < 2 {
        bail!("this build has no mutations; run cargo xtask simulate --mutations");
    }
    let chosen =
        mutants.into_iter().filter(|mutant| mutant.name.is_empty() || mutant.name.contains(&args.only));
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows: Vec<Row> = runtime.block_on(
        stream::iter(chosen)
            .map(|mutant| async move {
                let result = if mutant.test.is_none() { Some(child(mutant, args).await) } else { None };
                Row { mutant, result }
            })
            .buffered(at_once)
            .collect(),
    );
    match args.json {
        true => println!("{}", table::json(&rows)),
        false => print!("{}", table::text(&rows)),
    }
    Ok(rows.iter().all(Row::is_as_it_should))
}

/// This program, also if another build has put its own in this one's place meanwhile.
fn program() -> Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { Ok(std::env::current_exe()?) }
}

async fn child(mutant: Mutant, args: &Args) -> Result<Found> {
    let mut command = tokio::process::Command::new(program()?);
    command.args(["--one", "--seeds", &args.seeds.to_string(), "--calls", &args.calls.to_string()]);
    command.env(mutants::VARIABLE, mutant.name).stdin(Stdio::null()).kill_on_drop(true);
    let clock = SystemClock::new();
    let output = clock.bounded(clock.now() + PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("took longer than {PATIENCE:?}"))??;
    let line = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(line.trim()).with_context(|| {
        let why = String::from_utf8_lossy(&output.stderr);
        format!("ended without a result: {}", why.lines().take(2).collect::<Vec<_>>().join(" "))
    })
}

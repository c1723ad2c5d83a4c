//! Trunkline beside other HTTP clients, measured in one run on one machine. `cargo xtask bench` builds and starts it.
//!
//! A group is a set of tables. `serve` and `client` are the processes that the wire tables start; they are no interface.

mod batch;
mod contenders;
mod journal;
mod machine;
mod report;
mod sample;
mod serve;
mod stack;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use contenders::Kind;

/// Measures groups and writes what came out.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure and write the results as JSON.
    Run {
        /// One group only. Default: all.
        #[arg(long)]
        group: Option<String>,
        /// The commit that is measured, as it is to be written.
        #[arg(long, default_value = "unknown")]
        commit: String,
        /// Rounds of the wire tables.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Rows of the file that the group `batch` places.
        #[arg(long, default_value_t = 50_000)]
        rows: usize,
        /// Where the results go.
        #[arg(long)]
        out: PathBuf,
    },
    /// `place` over a wire in memory, for a profiler.
    Repeat {
        /// How often.
        #[arg(long, default_value_t = 10_000)]
        calls: usize,
    },
    /// The journal in memory alone, for a profiler.
    RepeatJournal {
        /// How often.
        #[arg(long, default_value_t = 10_000)]
        calls: usize,
    },
    /// The server that all clients are measured against; prints its address and ends with its stdin.
    Serve,
    /// The simulator that batches are placed against; prints its URL and ends with its stdin.
    Simulate,
    /// One file, placed once; prints one line of JSON.
    PlaceBatch(batch::Placing),
    /// One client, once; prints one line of JSON.
    Client {
        /// Which.
        #[arg(long)]
        kind: Kind,
        /// The server.
        #[arg(long)]
        server: SocketAddr,
        /// Calls under way at once.
        #[arg(long)]
        in_flight: usize,
        /// Calls that are measured; a quarter as many go before them.
        #[arg(long)]
        calls: usize,
    },
}

const GROUPS: [&str; 3] = ["transport", "journal", "batch"];

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Run { group, commit, rounds, rows, out } => run(group.as_deref(), commit, (rounds, rows), &out),
        Task::Simulate => batch::simulate(),
        Task::PlaceBatch(placing) => batch::place(&placing),
        Task::Repeat { calls } => stack::repeat(calls),
        Task::RepeatJournal { calls } => journal::repeat(calls),
        Task::Serve => serve::run(),
        Task::Client { kind, server, in_flight, calls } => wire::client(kind, server, in_flight, calls),
    }
}

fn run(
    group: Option<&str>,
    commit: String,
    (rounds, rows): (usize, usize),
    out: &std::path::Path,
) -> Result<()> {
    if let Some(other) = group.filter(|name| !GROUPS.contains(name)) {
        bail!("no group is named {other}; there is: {}", GROUPS.join(", "));
    }
    let wanted = |name| group.is_none_or(|group| group == name);
    let mut results = report::Results::new(commit);
    let folder = out.parent().context("--out names no file")?;
    if wanted("transport") {
        let mut transport = report::Group::new("transport");
        stack::measure(&folder.join("criterion"), &mut transport)?;
        wire::measure(rounds, &mut transport)?;
        results.add(transport);
    }
    if wanted("journal") {
        let mut journal = report::Group::new("journal");
        journal::measure(folder, &mut journal)?;
        results.add(journal);
    }
    if wanted("batch") {
        let mut batch = report::Group::new("batch");
        batch::measure(rows, folder, &mut batch)?;
        results.add(batch);
    }
    results.write(out)
}

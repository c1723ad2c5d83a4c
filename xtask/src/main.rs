//! Workspace tasks: checks, the real servers of the tests, the test run and CI.
//!
//! `cargo xtask ci` is what the hosted job runs, step for step. Nothing here is part of the product.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task reports to its terminal")]

mod bench;
mod ci;
mod files;
mod fuzz;
mod mutations;
mod run;
mod services;
mod simulate;
mod test;
mod tidy;
mod venv;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tasks of the Trunkline workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check layers, manifests and files without building a crate; lists every failure with its fix.
    Tidy,
    /// Start the real servers, print their variables as one JSON line, stay up until stdin closes or Ctrl-C.
    Services,
    /// Start the real servers and run every test and doc test.
    Test {
        /// Run one member only: its folder or package name.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Run the deterministic fault simulation: `--seeds N --calls M [--first-seed S] [--json]`, or `--mutations [--json]`.
    Simulate {
        /// Passed on to the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure beside other clients in one run; writes `target/bench/results.json`.
    Bench {
        /// Print the results as JSON instead of tables.
        #[arg(long)]
        json: bool,
        /// One group only: `transport`, `journal` or `batch`.
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        /// Rows of the file that `batch` places. Default: 50,000.
        #[arg(long, value_name = "N")]
        rows: Option<usize>,
    },
    /// Fuzz everything that reads foreign bytes, from the kept corpus on.
    Fuzz {
        /// One target only, such as `rows`.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Seconds of each target; 0 replays the kept corpus only.
        #[arg(long, value_name = "N", default_value_t = fuzz::SECONDS)]
        seconds: u32,
    },
    /// Run tidy, fmt, clippy, test, fuzz, bench, docs, package and deny, and stop at the first that fails.
    Ci,
}

fn main() -> ExitCode {
    if let Some(code) = mutations::as_rustc() {
        return code;
    }
    let done = match Args::parse().task {
        Task::Tidy => tidy::run(),
        Task::Services => services::run(),
        Task::Test { only } => test::run(only.as_deref()),
        Task::Simulate { arguments } => simulate::run(&arguments),
        Task::Bench { json, group, rows } => bench::run(json, group.as_deref(), rows),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

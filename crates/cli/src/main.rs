//! The trunkline command line: demo, call, simulate, providers, doctor.
//!
//! Standard output carries results only, standard error everything else. One place, [`exit`], turns errors into exit codes.

mod args;
mod exit;
mod interrupt;
mod log;
mod out;
mod render;

mod client;
mod settings;

mod commands;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use exit::{Exit, Problem};
use out::Out;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // A closed pipe is no reason to complain.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { Exit::Input } else { Exit::Done });
        }
    };
    let json = cli.json();
    let exit = run(cli).unwrap_or_else(|problem| {
        if json {
            Out::stdout().json(&problem.to_json());
        }
        Out::stderr().text(&problem.to_string());
        problem.exit()
    });
    exit.into()
}

fn run(cli: Cli) -> Result<Exit, Problem> {
    log::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::unsent(format!("the runtime did not start: {error}")))?;
    let done = runtime.block_on(commands::run(cli));
    // A read that hangs in a file system must not keep the process.
    runtime.shutdown_background();
    done
}

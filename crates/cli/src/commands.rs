//! The commands, one file each.

mod batch;
mod call;
mod demo;
mod doctor;
mod export;
mod providers;
mod reconcile;
mod simulate;
mod status;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Problem};

/// Runs the command; what it prints is printed when this returns.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Problem> {
    match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Call(args) => call::run(args).await,
        Command::Batch(args) => batch::run(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::Status(args) => status::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Simulate(args) => simulate::run(args).await,
        Command::Providers(args) => Ok(providers::run(&args)),
        Command::Doctor(args) => doctor::run(args).await,
    }
}

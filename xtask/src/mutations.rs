//! The build with mutations: `--cfg trunkline_mutation` for the members alone, so that everything they depend on is shared with the
//! other builds and nothing of theirs is built anew.

use crate::run;
use anyhow::{Context, Result};
use std::env;
use std::process::{Command, ExitCode};

/// Set for the cargo of such a build, which starts this program where it would start `rustc`.
const WRAPS: &str = "TRUNKLINE_XTASK_WRAPS_RUSTC";

/// Runs every mutation in release; the arguments are passed on. An error unless each is found.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mutations = ["run", "--quiet", "--release", "-p", "trunkline-tests", "--bin", "mutations", "--"];
    run::succeed(cargo()?.args(mutations).args(arguments))
}

/// The `cargo test` that runs every mutation and prints the table.
pub(crate) fn test(arguments: &[&str]) -> Result<Command> {
    let mut cargo = cargo()?;
    cargo.arg("test").args(arguments).args(["--all-features", "--", "--nocapture"]);
    Ok(cargo)
}

/// A cargo that builds the members with mutations.
fn cargo() -> Result<Command> {
    let mut cargo = run::cargo();
    let here = env::current_exe().context("cannot find this program")?;
    cargo.env("RUSTC_WORKSPACE_WRAPPER", here).env(WRAPS, "1");
    Ok(cargo)
}

/// If cargo started this program as its `rustc`: runs the real one with the cfg.
pub(crate) fn as_rustc() -> Option<ExitCode> {
    env::var_os(WRAPS)?;
    let mut words = env::args_os().skip(1);
    let mut rustc = Command::new(words.next()?);
    rustc.args(words).args(["--cfg", "trunkline_mutation"]).env_remove(WRAPS);
    let code = rustc.status().ok().and_then(|status| status.code());
    Some(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

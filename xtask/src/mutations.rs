//! The build with mutations: `--cfg trunkline_mutation` for the members alone, so that everything they depend on is shared with the
//! other builds and nothing of theirs is built anew.

use crate::run;
use anyhow::{Context, Result};
use std::env;
use std::process::{Command, ExitCode};

/// Set for the cargo of such a build, which starts this program where it would start `rustc`: the flags to add.
const ADDED: &str = "TRUNKLINE_XTASK_RUSTC_FLAGS";
const CFG: &str = "--cfg trunkline_mutation";
/// For a debug build: it runs in less than half of the time, which is more than it takes longer to build.
const FASTER: &str = "-Copt-level=1";

/// Runs every mutation in release; the arguments are passed on. An error unless each is found.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mutations = ["run", "--quiet", "--release", "-p", "trunkline-tests", "--bin", "mutations", "--"];
    run::succeed(cargo(CFG)?.args(mutations).args(arguments))
}

/// The `cargo test` that runs every mutation and prints the table.
pub(crate) fn test(arguments: &[&str]) -> Result<Command> {
    let mut cargo = cargo(&format!("{CFG} {FASTER}"))?;
    cargo.arg("test").args(arguments).args(["--all-features", "--", "--nocapture"]);
    Ok(cargo)
}

/// A cargo that builds the members with these flags.
fn cargo(flags: &str) -> Result<Command> {
    let mut cargo = run::cargo();
    let here = env::current_exe().context("cannot find this program")?;
    cargo.env("RUSTC_WORKSPACE_WRAPPER", here).env(ADDED, flags);
    Ok(cargo)
}

/// If cargo started this program as its `rustc`: runs the real one with the flags.
pub(crate) fn as_rustc() -> Option<ExitCode> {
    let flags = env::var(ADDED).ok()?;
    let mut words = env::args_os().skip(1);
    let mut rustc = Command::new(words.next()?);
    rustc.args(words).args(flags.split_whitespace()).env_remove(ADDED);
    let code = rustc.status().ok().and_then(|status| status.code());
    Some(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

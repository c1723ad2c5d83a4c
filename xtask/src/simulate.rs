//! The deterministic simulation: builds it in release and passes the arguments on.

use crate::{mutations, run};
use anyhow::Result;

/// Runs the simulation's binary; its exit code says whether everything held.
///
/// With `--mutations` among the arguments it is the build with mutations, which runs each of them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(at) = arguments.iter().position(|argument| argument == "--mutations") {
        return mutations::run(&[&arguments[..at], &arguments[at + 1..]].concat());
    }
    let simulate = ["run", "--quiet", "--release", "-p", "trunkline-tests", "--bin", "simulate", "--"];
    run::succeed(run::cargo().args(simulate).args(arguments))
}

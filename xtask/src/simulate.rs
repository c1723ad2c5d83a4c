//! The deterministic simulation: builds it in release and passes the arguments on.

use crate::run;
use anyhow::Result;

/// Runs the simulation's binary; its exit code says whether everything held.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let simulate = ["run", "--quiet", "--release", "-p", "trunkline-tests", "--bin", "simulate", "--"];
    run::succeed(run::cargo().args(simulate).args(arguments))
}

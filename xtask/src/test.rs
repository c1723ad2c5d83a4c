//! The test run: real servers, every test and doc test, and one line that counts them.

mod models;
mod selection;
mod tally;

use crate::{mutations, run, services};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use selection::Selection;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use tally::Tally;

/// Runs the tests of every member, or of one, and ends with `N passed, N failed` on a line.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(run::root()).no_deps().exec();
    let metadata = metadata.context("`cargo metadata` failed")?;
    let selection = Selection::of(&metadata, only)?;
    let running = match selection.folder() {
        Some(folder) => services::start_for(folder)?,
        None => services::start()?,
    };
    let mut variables = running.variables().to_vec();
    if selection.uses_binary() {
        run::succeed(run::cargo().args(["build", "-p", "trunkline-cli", "--all-features"]))?;
        let binary = metadata.target_directory.join("debug/trunkline");
        variables.push(("TRUNKLINE_TEST_BIN", binary.into_string()));
    }
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for arguments in selection.runs() {
        let mut tests = run::cargo();
        tests.arg("test").args(arguments).args(["--all-features", "--no-fail-fast"]);
        tests.envs(variables.iter().map(|(name, value)| (name, value)));
        if !counted(&mut tests, &mut io::stdout(), &mut tally)? {
            failed.push(format!("`{}`", run::shown(&tests)));
        }
        if tally.is_empty() {
            break;
        }
    }
    let mutants = selection.mutations().map(|arguments| mutations::test(&arguments)).transpose()?;
    for mut tests in models::command(&selection.modelled()).into_iter().chain(mutants) {
        let mut checked = Tally::default();
        if !counted(&mut tests, &mut io::stdout(), &mut checked)? || checked.is_empty() {
            failed.push(format!("`{}`", run::shown(&tests)));
        }
        tally.merge(checked);
    }
    println!("{tally}");
    tally.check()?;
    if !failed.is_empty() {
        bail!("{} failed", failed.join(" and "));
    }
    Ok(())
}

/// Passes the output on to `to` as it comes and adds up its results; whether the command succeeded.
fn counted(command: &mut Command, to: &mut impl Write, tally: &mut Tally) -> Result<bool> {
    let shown = run::shown(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().map_err(|error| anyhow::anyhow!("cannot start `{shown}`: {error}"))?;
    let mut output = BufReader::new(child.stdout.take().context("cargo has no stdout")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).context("cannot read cargo's output")? > 0 {
        to.write_all(&line).context("cannot write to stdout")?;
        tally.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait().with_context(|| format!("cannot wait for `{shown}`"))?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_it_passes_the_output_on() {
        let (mut tally, mut passed_on) = (Tally::default(), Vec::new());
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; echo end; exit 1";
        let succeeded = counted(run::command("sh").args(["-c", script]), &mut passed_on, &mut tally).unwrap();
        assert!(!succeeded);
        assert_eq!(tally.to_string(), "2 passed, 0 failed");
        assert!(passed_on.ends_with(b"0 measured\nend\n"));
    }
}

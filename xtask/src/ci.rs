//! What the hosted job runs, step for step, with the seconds of each.

mod deny;

use crate::{fuzz, run, test, tidy};
use anyhow::{Context, Result};
use std::time::Duration;

type Step = (&'static str, fn() -> Result<()>);

/// All with one feature set, so that a step builds on what the one before it built.
const STEPS: [Step; 9] = [
    ("tidy", tidy::run),
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
    }),
    ("test", || test::run(None)),
    ("fuzz", || fuzz::run(None, fuzz::SECONDS)),
    ("bench", bench),
    ("docs", docs),
    ("package", || {
        let members = ["--exclude", "xtask", "--exclude", "trunkline-tests"];
        cargo(&[&["package", "--workspace", "--no-verify", "--allow-dirty"][..], &members].concat())
    }),
    ("deny", deny::run),
];

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    run_steps(&STEPS)
}

fn run_steps(steps: &[Step]) -> Result<()> {
    let mut taken = Vec::new();
    for (name, step) in steps {
        println!("== {name}");
        let start = run::now();
        let done = step();
        taken.push((*name, start.elapsed(), done.is_ok()));
        if done.is_err() {
            println!("{}", table(&taken));
            return done.with_context(|| format!("ci stopped at step {name}"));
        }
    }
    println!("{}", table(&taken));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    run::succeed(run::cargo().args(arguments))
}

/// The benchmarks stand outside the workspace: that they compile, with their own lock.
fn bench() -> Result<()> {
    let mut check = run::cargo();
    check.args(["check", "--manifest-path", "tests/bench/Cargo.toml"]);
    run::succeed(check.env("CARGO_TARGET_DIR", run::root().join("target/bench-target")))
}

fn docs() -> Result<()> {
    let mut doc = run::cargo();
    doc.args(["doc", "--workspace", "--all-features", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    run::succeed(&mut doc)
}

fn table(taken: &[(&str, Duration, bool)]) -> String {
    let rows = taken.iter().map(|(name, time, ok)| {
        format!("{name:<8} {:>7.1} s  {}", time.as_secs_f64(), if *ok { "ok" } else { "FAILED" })
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn the_table_has_a_row_per_step() {
        let taken =
            [("tidy", Duration::from_millis(1250), true), ("package", Duration::from_secs(100), false)];
        assert_eq!(table(&taken), "tidy         1.2 s  ok\npackage    100.0 s  FAILED");
    }

    #[test]
    fn stops_at_the_first_failure_and_names_it() {
        let steps: [Step; 3] =
            [("one", || Ok(())), ("two", || bail!("broken")), ("three", || bail!("never reached"))];
        let error = format!("{:#}", run_steps(&steps).unwrap_err());
        assert_eq!(error, "ci stopped at step two: broken");
        assert!(run_steps(&steps[..1]).is_ok());
    }
}

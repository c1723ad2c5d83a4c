//! Fuzzing: builds the targets of `fuzz/` with coverage counters, replays the kept corpus and goes on from there.
//!
//! The flags are those of `cargo fuzz --sanitizer none`, which works on the stable toolchain; a C++ compiler builds libFuzzer.

use crate::{files, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Seconds of each target, replay included, if nothing else is said.
pub(crate) const SECONDS: u32 = 3;

const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
];

/// Runs every target, or one, for that many seconds each; 0 replays the kept corpus only. Inputs that reach something new are kept in
/// `target/fuzz/corpus`, those that fail in `target/fuzz/artifacts`.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> = targets.iter().filter(|name| target.is_none_or(|one| one == *name)).collect();
    ensure!(!chosen.is_empty(), "no such target; there are {}", targets.join(", "));
    let built = build(target)?;
    let mut failed = Vec::new();
    for name in chosen {
        match fuzz(&built.join(name), name, seconds)? {
            Ok(line) => println!("{line}"),
            Err(report) => {
                eprintln!("{report}");
                failed.push(name.as_str());
            }
        }
    }
    ensure!(failed.is_empty(), "{} found what does not hold", failed.join(" and "));
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let found = files::below(&run::root().join("fuzz/fuzz_targets"), "rs")?;
    Ok(found.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect())
}

fn folder() -> PathBuf {
    run::root().join("target/fuzz")
}

/// Builds in a folder of its own, since the flags differ from those of every other build; where the binaries are then.
fn build(target: Option<&str>) -> Result<PathBuf> {
    let version = run::read(run::command("rustc").arg("-vV"))?;
    let host = host(&version).context("`rustc -vV` names no host")?;
    let mut build = run::cargo();
    build.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host]);
    match target {
        Some(name) => build.args(["--bin", name]),
        None => build.arg("--bins"),
    };
    build.env("CARGO_TARGET_DIR", folder()).env("RUSTFLAGS", FLAGS.join(" "));
    run::succeed_on_stderr(&mut build)?;
    Ok(folder().join(host).join("release"))
}

fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

/// One line of what was done, or a report of what failed.
fn fuzz(binary: &Path, name: &str, seconds: u32) -> Result<Result<String, String>> {
    let (kept, found) = (run::root().join("fuzz/corpus").join(name), folder().join("corpus").join(name));
    let artifacts = folder().join("artifacts").join(name);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if !kept.is_dir() {
        bail!("{name} has no kept corpus; write inputs to {}", kept.display());
    }
    let mut fuzz = run::command(binary);
    fuzz.args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-seed=1", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    match seconds {
        0 => fuzz.arg("-runs=0").arg(&kept),
        // What is found goes to the first folder.
        seconds => fuzz.arg(format!("-max_total_time={seconds}")).arg(&found).arg(&kept),
    };
    let output = run::output(fuzz.env("RUST_BACKTRACE", "0"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    Ok(if output.status.success() { Ok(summary(name, &told)) } else { Err(report(binary, name, &told)) })
}

fn summary(name: &str, told: &str) -> String {
    let inputs = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let after = |word| told.rsplit_once(word).and_then(|(_, rest)| rest.split_whitespace().next());
    let (inputs, edges) = (inputs.map_or("?", str::trim), after(" cov: ").unwrap_or("?"));
    format!("{name:<14} {inputs:>9} inputs, {edges:>6} edges")
}

/// The panic and the input's file; libFuzzer's own lines are left out.
fn report(binary: &Path, name: &str, told: &str) -> String {
    let ours = |line: &&str| {
        let noise =
            ["#", "INFO:", "stat::", "\tNEW_FUNC", "MS:", "0x", "==", "    #", "NOTE:", "note:", "      "];
        !noise.iter().any(|begin| line.starts_with(begin)) && line.len() < 2000
    };
    let lines: Vec<_> = told.lines().filter(ours).collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    format!("{name} failed:\n{tail}\nrun it again: {} FILE, with the file named above", binary.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_kept_corpus() {
        let targets = targets().unwrap();
        assert!(targets.len() > 5, "{targets:?}");
        for name in targets {
            assert!(run::root().join("fuzz/corpus").join(&name).is_dir(), "{name}");
        }
    }

    #[test]
    fn a_run_is_told_in_one_line() {
        let told = "INFO: seed corpus\n#2\tINITED cov: 11 ft: 12\n#9\tDONE   cov: 345 ft: 678 corp: 9\nstat::number_of_executed_units: 90\n";
        assert_eq!(summary("rows", told), "rows                  90 inputs,    345 edges");
        assert_eq!(summary("rows", "nothing"), "rows                   ? inputs,      ? edges");
    }

    #[test]
    fn a_failure_names_the_panic_and_the_way_to_repeat_it() {
        let told = "#2\tINITED\nthread 'main' panicked at x.rs:1:2:\na number is shown\n==12== ERROR\nTest unit written to a/crash-1\n";
        let report = report(Path::new("bin/rows"), "rows", told);
        assert!(report.contains("a number is shown\nTest unit written to a/crash-1\n"), "{report}");
        assert!(report.contains("bin/rows FILE") && !report.contains("INITED"), "{report}");
    }

    #[test]
    fn the_host_is_the_compiler_s() {
        assert_eq!(host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n"), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.95.0"), None);
    }
}

//! Benchmarks: builds their package apart from the workspace, runs it, and prints what it wrote.

use crate::{files, run, venv};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;

/// What the article's batch needs.
const PEERS: [&str; 1] = ["aiohttp==3.14.5"];

/// Measures the groups, or one, writes `target/bench/results.json` and prints it: as tables, or as it is.
pub(crate) fn run(json: bool, group: Option<&str>, rows: Option<usize>) -> Result<()> {
    let target = run::root().join("target");
    let (built, written) = (target.join("bench-target"), target.join("bench"));
    fs::create_dir_all(&written).with_context(|| format!("cannot make {}", written.display()))?;
    let mut build = run::cargo();
    build.args(["build", "--release", "--manifest-path", "tests/bench/Cargo.toml"]);
    run::succeed_on_stderr(build.env("CARGO_TARGET_DIR", &built))?;
    let results = written.join("results.json");
    let mut bench = run::command(built.join("release/trunkline-bench"));
    bench.args(["run", "--commit", &commit()?, "--out"]).arg(&results);
    if let Some(group) = group {
        bench.args(["--group", group]);
    }
    if let Some(rows) = rows {
        bench.args(["--rows", &rows.to_string()]);
    }
    if group.is_none_or(|group| group == "batch") {
        match venv::ensure(&target.join("bench-venv"), &PEERS) {
            Ok(bin) => drop(bench.env("TRUNKLINE_BENCH_PYTHON", bin.join("python"))),
            Err(error) => eprintln!("the article's gather is left out: {error:#}"),
        }
    }
    run::succeed_on_stderr(&mut bench)?;
    let text = files::read(&results)?;
    if json {
        print!("{text}");
        return Ok(());
    }
    let results = serde_json::from_str(&text).context("the results are not JSON")?;
    print!("{}", page(&results));
    Ok(())
}

/// The commit, with a mark where files differ from it.
fn commit() -> Result<String> {
    let commit = run::read(run::command("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    let changed = run::read(run::command("git").args(["status", "--porcelain", "--untracked-files=no"]))?;
    let mark = if changed.is_empty() { "" } else { " with changes" };
    Ok(format!("{}{mark}", commit.trim()))
}

fn page(results: &Value) -> String {
    let said = |name: &str| cell(&results[name]);
    let machine = &results["machine"];
    let mut page = format!(
        "commit {}, {}\n{}, {} cores, {}; load {} before, {} after\n",
        said("commit"),
        said("date"),
        cell(&machine["cpu"]),
        cell(&machine["cores"]),
        cell(&machine["os"]),
        said("load_before"),
        said("load_after"),
    );
    for group in list(&results["groups"]) {
        for aim in list(&group["aims"]) {
            let met = if aim["met"] == true { "met" } else { "missed" };
            let (sign, limit) = match &aim["at_least"] {
                Value::Null => ("at most", &aim["at_most"]),
                limit => ("at least", limit),
            };
            let (name, measured) = (cell(&aim["name"]), cell(&aim["measured"]));
            page += &format!("\n{met}: {name}: {measured}, aim {sign} {}", cell(limit));
        }
        page += "\n";
        list(&group["tables"]).iter().for_each(|table| page += &aligned(table));
    }
    page
}

fn aligned(table: &Value) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(&table["columns"])
        .chain(list(&table["rows"]))
        .map(|row| list(row).iter().map(cell).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = format!("\n{}\n", cell(&table["title"]));
    for row in &rows {
        for (at, (word, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            text += &if at == 0 { format!("{word:<width$}") } else { format!("  {word:>width$}") };
        }
        text += "\n";
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_aligned_and_aims_say_whether_they_are_met() {
        let group = json!({
            "aims": [{"name": "rate", "at_least": 1.0, "measured": 0.5, "met": false},
                     {"name": "cost", "at_most": 2.0, "measured": 1.5, "met": true}],
            "tables": [{"title": "costs", "columns": ["what", "us"], "rows": [["a", 1.25], ["longer", null]]}],
        });
        let page = page(&json!({"commit": "c0ffee", "groups": [group]}));
        assert!(
            page.contains("missed: rate: 0.5, aim at least 1.0\nmet: cost: 1.5, aim at most 2.0"),
            "{page}"
        );
        assert!(page.contains("costs\nwhat      us\na       1.25\nlonger      \n"), "{page}");
    }
}

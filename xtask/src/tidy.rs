//! Checks that need no build of our crates; every failure is listed, each with its fix.

mod changelog;
mod edges;
mod finding;
mod headers;
mod lints;
mod manifests;
mod msrv;
mod purity;
mod tls;
mod tree;
mod words;
mod workspace;

use anyhow::{Result, bail};
use finding::Finding;
use workspace::Workspace;

type Check = fn(&Workspace) -> Result<Vec<Finding>>;

const CHECKS: [(&str, Check); 9] = [
    ("layer edges", edges::check),
    ("lints", lints::check),
    ("file headers", headers::check),
    ("manifests", manifests::check),
    ("msrv", msrv::check),
    ("changelog", changelog::check),
    ("purity", purity::check),
    ("words and sizes", words::check),
    ("one TLS library", tls::check),
];

/// Runs every check, prints what it found, and fails if that is anything.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let mut findings = Vec::new();
    for (name, check) in CHECKS {
        // A check that cannot run is one more failure: the others still report.
        let found = check(&workspace).unwrap_or_else(|error| {
            vec![Finding::new(name, format!("cannot check: {error:#}"), "see above")]
        });
        println!(
            "tidy: {name}: {}",
            if found.is_empty() { "ok".to_owned() } else { found.len().to_string() }
        );
        findings.extend(found);
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} failures, listed above", findings.len());
    }
    Ok(())
}

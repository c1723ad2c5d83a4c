//! `promtool`, which checks metrics, rules and alert tests.
//!
//! Debian's package is unpacked below the target folder and not installed: no root is needed and no daemon starts.

use super::{Place, Provided, Service, file_from_environment};
use crate::{files, run};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "TRUNKLINE_TEST_PROMTOOL";

pub(super) struct Promtool;

impl Service for Promtool {
    fn name(&self) -> &'static str {
        "promtool"
    }

    fn variables(&self) -> &'static [&'static str] {
        &[VARIABLE]
    }

    fn provide(&self, place: &Place) -> Result<Provided> {
        let tool = match file_from_environment(VARIABLE)?.or_else(|| run::on_path("promtool")) {
            Some(tool) => tool,
            None => unpacked(&place.dir.join("prometheus")).with_context(|| {
                format!("put promtool on the PATH (Debian: apt-get install prometheus), or set {VARIABLE}")
            })?,
        };
        Ok(Provided { variables: vec![(VARIABLE, tool.display().to_string())], server: None })
    }
}

fn unpacked(dir: &Path) -> Result<PathBuf> {
    let tool = dir.join("usr/bin/promtool");
    if tool.is_file() {
        return Ok(tool);
    }
    eprintln!("unpacking Debian's package prometheus into {}", dir.display());
    let download = dir.join("download");
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(download.join(folder))
            .with_context(|| format!("cannot make {}", download.display()))?;
    }
    run::succeed_on_stderr(apt(&download).arg("update"))?;
    run::succeed_on_stderr(apt(&download).args(["download", "prometheus"]))?;
    let package = files::below(&download, "deb")?.pop().context("apt-get brought no package")?;
    run::succeed_on_stderr(run::command("dpkg-deb").arg("--extract").arg(package).arg(dir))?;
    fs::remove_dir_all(&download).with_context(|| format!("cannot remove {}", download.display()))?;
    Ok(tool)
}

/// `apt-get` with package lists of its own in `dir`, so that any user may run it.
fn apt(dir: &Path) -> Command {
    let mut apt = run::command("apt-get");
    apt.current_dir(dir).args(["--quiet=2", "-o", "APT::Sandbox::User="]);
    for (option, folder) in [("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")] {
        apt.arg("-o").arg(format!("{option}={}", dir.join(folder).display()));
    }
    apt
}

//! Python environments below the target folder, for tools and libraries from PyPI.

use crate::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The `bin` folder of the environment `dir` with exactly these packages, made anew if they changed.
///
/// `packages` are pinned requirements such as `requests==2.32.5`.
pub(crate) fn ensure(dir: &Path, packages: &[&str]) -> Result<PathBuf> {
    let bin = dir.join("bin");
    let stamp = dir.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && bin.join("python").exists() {
        return Ok(bin);
    }
    eprintln!("installing {} from PyPI into {}", packages.join(" "), dir.display());
    run::succeed_on_stderr(run::command("python3").args(["-m", "venv", "--clear"]).arg(dir))
        .context("a Python 3 with its venv module is needed (Debian: apt-get install python3-venv)")?;
    let mut pip = run::command(bin.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    run::succeed_on_stderr(&mut pip).context("PyPI must be reachable")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(bin)
}

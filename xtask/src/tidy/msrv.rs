//! The minimum supported Rust version is stated once, and the README agrees.

use super::finding::Finding;
use super::workspace::Workspace;
use anyhow::Result;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let manifest = workspace.read("Cargo.toml")?;
    let readme = workspace.read("README.md").ok();
    Ok(compare(&manifest, readme.as_deref()))
}

fn compare(manifest: &str, readme: Option<&str>) -> Vec<Finding> {
    let stated: Vec<_> = manifest.lines().filter_map(version).collect();
    let [version] = stated[..] else {
        let problem = format!("states `rust-version` {} times", stated.len());
        return vec![Finding::new("Cargo.toml", problem, "state it once, in [workspace.package]")];
    };
    let fix = format!("write `MSRV {version}` into the README");
    let Some(readme) = readme else { return vec![Finding::new("README.md", "cannot be read", fix)] };
    let said: Vec<_> =
        readme.split("MSRV ").skip(1).map(number).filter(|number| !number.is_empty()).collect();
    if said.is_empty() || said.iter().any(|said| *said != version) {
        let problem = format!("says MSRV {said:?}, the root manifest {version}");
        return vec![Finding::new("README.md", problem, fix)];
    }
    Vec::new()
}

fn version(line: &str) -> Option<&str> {
    let value = line.trim().strip_prefix("rust-version")?.trim_start().strip_prefix('=')?;
    Some(value.trim().trim_matches('"'))
}

/// The number at the start of `text`, without a full stop at its end.
fn number(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace.package]\nrust-version = \"1.95\"\n";

    #[test]
    fn accepts_the_same_version() {
        assert_eq!(compare(MANIFEST, Some("Needs a C compiler; MSRV 1.95.")), []);
    }

    #[test]
    fn refuses_another_version_or_none() {
        for readme in [Some("MSRV 1.94"), Some("no word"), Some("MSRV 1.95, once MSRV 1.90"), None] {
            assert_eq!(compare(MANIFEST, readme).len(), 1, "{readme:?}");
        }
    }

    #[test]
    fn refuses_a_version_stated_twice_or_never() {
        let twice = format!("{MANIFEST}[package]\nrust-version = \"1.95\"\n");
        assert_eq!(compare(&twice, Some("MSRV 1.95")).len(), 1);
        assert_eq!(compare("", Some("MSRV 1.95")).len(), 1);
    }
}

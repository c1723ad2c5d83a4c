//! The changelog says what is new since the last release.

use super::finding::Finding;
use super::workspace::Workspace;
use anyhow::Result;

const HEADING: &str = "## Unreleased";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    Ok(unreleased(&workspace.read("CHANGELOG.md")?).into_iter().collect())
}

fn unreleased(changelog: &str) -> Option<Finding> {
    let section = changelog.lines().skip_while(|line| line.trim() != HEADING).skip(1);
    let mut section = section.take_while(|line| !line.starts_with("## "));
    let has_entry = section.any(|line| line.starts_with("- ") || line.starts_with("* "));
    let fix = "add a line for users below it, under `### Added`, `### Changed` or `### Fixed`";
    (!has_entry).then(|| Finding::new("CHANGELOG.md", format!("has no entry under `{HEADING}`"), fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_an_entry() {
        assert_eq!(unreleased("# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n"), None);
    }

    #[test]
    fn refuses_a_missing_or_an_empty_section() {
        for changelog in
            ["", "## Unreleased\n\n### Added\n", "## Unreleased\n\n## 0.1.0\n\n- A thing.\n", "- A thing.\n"]
        {
            assert!(unreleased(changelog).is_some(), "{changelog:?}");
        }
    }
}

//! Each member inherits the workspace's lints.

use super::finding::Finding;
use super::workspace::{Member, Workspace};
use anyhow::Result;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    Ok(workspace.members.iter().filter_map(inherits).collect())
}

fn inherits(member: &Member) -> Option<Finding> {
    let lints = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
    let inherited = lints.and_then(toml::Value::as_bool) == Some(true);
    let place = format!("{}/Cargo.toml", member.folder);
    (!inherited)
        .then(|| Finding::new(place, "does not inherit the lints", "add `[lints]` with `workspace = true`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_inherited_lints_only() {
        assert_eq!(inherits(&Member::sample("crates/a", "[lints]\nworkspace = true")), None);
        for manifest in ["", "[lints]\nworkspace = false", "[lints.rust]\nunsafe_code = \"allow\""] {
            assert!(inherits(&Member::sample("crates/a", manifest)).is_some(), "{manifest}");
        }
    }
}

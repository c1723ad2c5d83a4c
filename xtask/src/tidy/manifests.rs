//! Manifests: fields and versions are inherited, and a published crate has what its page needs.

use super::finding::Finding;
use super::workspace::{Member, Workspace};
use anyhow::Result;
use toml::{Table, Value};

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    Ok(workspace.members.iter().flat_map(member).collect())
}

fn member(member: &Member) -> Vec<Finding> {
    let mut findings = fields(member);
    findings.extend(dependencies(member));
    if member.published {
        findings.extend(page(member));
    }
    findings
}

fn finding(member: &Member, problem: String, fix: impl Into<String>) -> Finding {
    Finding::new(format!("{}/Cargo.toml", member.folder), problem, fix)
}

fn fields(member: &Member) -> Vec<Finding> {
    let package = member.manifest.get("package");
    let inherited = |field: &str| flag(package.and_then(|package| package.get(field)), "workspace");
    let missing = INHERITED.iter().filter(|field| !inherited(field));
    missing
        .map(|field| {
            finding(
                member,
                format!("`{field}` is not inherited"),
                format!("write `{field}.workspace = true`"),
            )
        })
        .collect()
}

/// Every dependency table, also those of one target.
fn dependencies(member: &Member) -> Vec<Finding> {
    let targets = member.manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values()).filter_map(Value::as_table);
    let tables = std::iter::once(&member.manifest).chain(targets);
    tables.flat_map(|table| DEPENDENCIES.iter().flat_map(|kind| entries(member, table, kind))).collect()
}

fn entries(member: &Member, table: &Table, kind: &str) -> Vec<Finding> {
    let entries = table.get(kind).and_then(Value::as_table).into_iter().flatten();
    let bad = entries.filter(|(name, value)| {
        let itself = kind == "dev-dependencies" && **name == member.name;
        let path = value.get("path").and_then(Value::as_str);
        let by_path = itself && path == Some(".") && value.get("version").is_none();
        !flag(Some(value), "workspace") && !by_path
    });
    bad.map(|(name, _)| {
        let problem = format!("`{name}` in [{kind}] states its own version or path");
        finding(
            member,
            problem,
            format!("put it into the root's [workspace.dependencies] and write `{name}.workspace = true`"),
        )
    })
    .collect()
}

fn page(member: &Member) -> Vec<Finding> {
    let package = member.manifest.get("package");
    let description = package.and_then(|package| package.get("description")).and_then(Value::as_str);
    let docs = package.and_then(|package| package.get("metadata")?.get("docs")?.get("rs"));
    let mut findings = Vec::new();
    if !member.has_readme {
        findings.push(finding(
            member,
            "has no README.md beside it".into(),
            "write what the crate does and an example",
        ));
    }
    if description.is_none_or(|text| text.trim().is_empty()) {
        findings.push(finding(member, "has no description".into(), "write one sentence into `description`"));
    }
    if !flag(docs, "all-features") {
        let fix = "add `[package.metadata.docs.rs]` with `all-features = true`";
        findings.push(finding(member, "docs.rs would not show every feature".into(), fix));
    }
    findings
}

fn flag(value: Option<&Value>, key: &str) -> bool {
    value.and_then(|value| value.get(key)).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[package]
name = "trunkline-a"
description = "A."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
[package.metadata.docs.rs]
all-features = true
[dependencies]
http.workspace = true
tokio = { workspace = true, features = ["time"] }
[dev-dependencies]
trunkline-a = { path = ".", features = ["test-util"] }
"#;

    fn found(manifest: &str) -> Vec<String> {
        member(&Member::sample("crates/a", manifest)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn accepts_a_manifest_that_inherits() {
        assert_eq!(found(GOOD), Vec::<String>::new());
    }

    #[test]
    fn refuses_a_field_of_its_own() {
        let found = found(&GOOD.replace("edition.workspace = true", "edition = \"2024\""));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("`edition` is not inherited"), "{found:?}");
    }

    #[test]
    fn refuses_a_version_or_path_of_its_own() {
        for line in ["http = \"1\"", "http = { version = \"1\" }", "http = { path = \"../http\" }"] {
            let found = found(&GOOD.replace("http.workspace = true", line));
            assert!(found.len() == 1 && found[0].contains("`http` in [dependencies]"), "{line}: {found:?}");
        }
        let target = format!("{GOOD}\n[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n");
        assert_eq!(found(&target).len(), 1);
    }

    #[test]
    fn allows_its_own_path_for_tests_only() {
        let normal = GOOD.replace("[dev-dependencies]\ntrunkline-a", "trunkline-a");
        assert_eq!(found(&normal).len(), 1);
        assert_eq!(found(&GOOD.replace("path = \".\"", "path = \"../a\"")).len(), 1);
        assert_eq!(found(&GOOD.replace("path = \".\"", "path = \".\", version = \"1\"")).len(), 1);
    }

    #[test]
    fn wants_what_a_published_crate_shows() {
        assert_eq!(found(&GOOD.replace("description = \"A.\"", "description = \" \"")).len(), 1);
        assert_eq!(found(&GOOD.replace("all-features = true", "")).len(), 1);
        let unpublished =
            Member { published: false, ..Member::sample("a", &GOOD.replace("all-features = true", "")) };
        assert_eq!(member(&unpublished), []);
        let bare = Member { has_readme: false, ..Member::sample("a", GOOD) };
        assert_eq!(member(&bare).len(), 1);
    }
}

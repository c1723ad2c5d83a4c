//! Which members' tests run, and with which arguments.

use anyhow::{Result, bail};
use cargo_metadata::{Metadata, Package};
use std::path::Path;

/// Everything that a test may be in; benches are left out.
const KINDS: [&str; 3] = ["--bins", "--tests", "--examples"];

/// Members whose tests may start the `trunkline` binary.
const USE_BINARY: [&str; 2] = ["trunkline-cli", "trunkline-tests"];

/// Members whose locks and atomics loom stands in for in a build of their own.
const MODELLED: [&str; 6] = [
    "trunkline",
    "trunkline-core-types",
    "trunkline-auth-secrets",
    "trunkline-journal",
    "trunkline-transport",
    "trunkline-ratelimit",
];

/// The member whose tests run the mutations.
const RUNS_MUTATIONS: &str = "trunkline-tests";

/// The whole workspace, or one member.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    one: Option<&'a Package>,
}

impl<'a> Selection<'a> {
    /// The member with that folder or package name; the workspace for none.
    pub(super) fn of(metadata: &'a Metadata, only: Option<&str>) -> Result<Self> {
        let Some(only) = only else { return Ok(Self { one: None }) };
        let members = metadata.workspace_packages();
        let is = |package: &&&Package| package.name == only || folder_name(package) == only;
        match members.iter().find(is) {
            Some(package) => Ok(Self { one: Some(*package) }),
            None => {
                let names: Vec<_> = members.iter().map(|package| folder_name(package)).collect();
                bail!("no member is named `{only}`; choose one of {}", names.join(", "))
            }
        }
    }

    /// Folder of the one member.
    pub(super) fn folder(&self) -> Option<&'a Path> {
        self.one.map(|package| match package.manifest_path.parent() {
            Some(folder) => folder.as_std_path(),
            None => package.manifest_path.as_std_path(),
        })
    }

    /// Whether its tests may start the `trunkline` binary.
    pub(super) fn uses_binary(&self) -> bool {
        self.one.is_none_or(|package| USE_BINARY.contains(&package.name.as_str()))
    }

    /// Those of its members that have models.
    pub(super) fn modelled(&self) -> Vec<&'static str> {
        let selected = |name: &&str| self.one.is_none_or(|package| package.name == *name);
        MODELLED.into_iter().filter(selected).collect()
    }

    /// Arguments of each `cargo test`: tests, then doc tests if there is a library.
    pub(super) fn runs(&self) -> Vec<Vec<&'a str>> {
        let (which, library) = match self.one {
            None => (vec!["--workspace"], true),
            Some(package) => {
                (vec!["-p", package.name.as_str()], package.targets.iter().any(|target| target.is_lib()))
            }
        };
        let mut tests = which.clone();
        tests.extend(KINDS);
        if !library {
            return vec![tests];
        }
        // Cargo refuses `--lib` for a package that has none.
        tests.push("--lib");
        vec![tests, [which, vec!["--doc"]].concat()]
    }

    /// Arguments of the `cargo test` for the build with mutations, if it is part of this. The same choice of members as in the first of
    /// [`runs`](Self::runs), so that it shares what they depend on.
    pub(super) fn mutations(&self) -> Option<Vec<&'a str>> {
        let which = match self.one {
            None => vec!["--workspace"],
            Some(package) if package.name == RUNS_MUTATIONS => vec!["-p", RUNS_MUTATIONS],
            Some(_) => return None,
        };
        Some([which, vec!["--test", "mutations"]].concat())
    }
}

fn folder_name(package: &Package) -> &str {
    package.manifest_path.parent().and_then(|folder| folder.file_name()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use cargo_metadata::MetadataCommand;

    fn metadata() -> Metadata {
        MetadataCommand::new().current_dir(run::root()).no_deps().exec().unwrap()
    }

    #[test]
    fn finds_a_member_by_folder_or_package_name() {
        let metadata = metadata();
        for (only, package) in [
            ("core-types", "trunkline-core-types"),
            ("trunkline-core-types", "trunkline-core-types"),
            ("facade", "trunkline"),
            ("trunkline", "trunkline"),
            ("tests", "trunkline-tests"),
            ("xtask", "xtask"),
        ] {
            let selection = Selection::of(&metadata, Some(only)).unwrap();
            assert_eq!(selection.runs()[0][..2], ["-p", package], "{only}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_names() {
        let metadata = metadata();
        let error = Selection::of(&metadata, Some("core")).unwrap_err().to_string();
        assert!(
            error.contains("`core`") && error.contains("core-types") && error.contains("tests"),
            "{error}"
        );
    }

    #[test]
    fn doc_tests_run_where_there_is_a_library() {
        let metadata = metadata();
        let runs = |only| Selection::of(&metadata, only).unwrap().runs();
        assert_eq!(runs(None)[1], ["--workspace", "--doc"]);
        assert_eq!(runs(Some("journal"))[1], ["-p", "trunkline-journal", "--doc"]);
        assert!(runs(Some("journal"))[0].contains(&"--lib"));
        assert_eq!(runs(Some("xtask")), [["-p", "xtask", "--bins", "--tests", "--examples"]]);
    }

    #[test]
    fn the_mutations_run_with_all_and_with_the_scenarios() {
        let metadata = metadata();
        let runs = |only| Selection::of(&metadata, only).unwrap().mutations();
        assert_eq!(runs(None).unwrap(), ["--workspace", "--test", "mutations"]);
        assert_eq!(runs(Some("tests")).unwrap(), ["-p", "trunkline-tests", "--test", "mutations"]);
        assert_eq!(runs(Some("transport")), None);
    }

    #[test]
    fn the_binary_is_built_for_those_who_start_it() {
        let metadata = metadata();
        let uses = |only| Selection::of(&metadata, only).unwrap().uses_binary();
        assert!(uses(None) && uses(Some("cli")) && uses(Some("tests")));
        assert!(!uses(Some("core-types")));
    }

    #[test]
    fn models_run_for_those_who_have_them() {
        let metadata = metadata();
        let modelled = |only| Selection::of(&metadata, only).unwrap().modelled();
        assert_eq!(modelled(None), MODELLED);
        assert_eq!(modelled(Some("ratelimit")), ["trunkline-ratelimit"]);
        assert_eq!(modelled(Some("facade")), ["trunkline"]);
        assert!(modelled(Some("telemetry")).is_empty());
    }
}

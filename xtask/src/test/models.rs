//! The build in which loom stands in for locks: its tests see every interleaving of their threads.

use crate::run;
use std::process::Command;

/// Of its own, or every other build would begin anew after it.
const FOLDER: &str = "target/model";
/// Not `cfg(loom)`, which tokio takes for its own.
const FLAG: &str = "--cfg trunkline_loom";
/// What the tests of a member need beside its default features.
const FEATURES: [(&str, &str); 2] = [
    ("trunkline-core-types", "trunkline-core-types/system"),
    ("trunkline-transport", "trunkline-transport/tower"),
];

/// Runs the models of these members; none if there are none.
pub(super) fn command(members: &[&str]) -> Option<Command> {
    if members.is_empty() {
        return None;
    }
    let mut cargo = run::cargo();
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env("RUSTFLAGS", format!("{flags} {FLAG}").trim()).arg("test");
    cargo.args(members.iter().flat_map(|member| ["-p", member]));
    let features = FEATURES.iter().filter(|(member, _)| members.contains(member));
    cargo.args(features.flat_map(|(_, feature)| ["--features", feature]));
    cargo.args(["--lib", "--no-fail-fast", "--target-dir", FOLDER, "model::"]);
    Some(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_its_own_runs_the_models_alone() {
        let command = command(&["one", "two"]).unwrap();
        let shown = run::shown(&command);
        assert!(
            shown.ends_with("test -p one -p two --lib --no-fail-fast --target-dir target/model model::"),
            "{shown}"
        );
        let flags = command.get_envs().find(|(name, _)| *name == "RUSTFLAGS").unwrap().1.unwrap();
        assert!(flags.to_str().unwrap().ends_with(FLAG));
        assert!(super::command(&[]).is_none());
    }

    #[test]
    fn a_member_brings_the_features_that_its_tests_need() {
        let shown = run::shown(&command(&["trunkline-core-types", "two"]).unwrap());
        assert!(shown.contains("-p two --features trunkline-core-types/system --lib"), "{shown}");
    }
}

//! What a failing seed has to shrink to, in every profile.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeSet;
use std::process::Command;

use trunkline_tests::simulation::{Report, Scenario, Shrunk};

/// One call and one fault, which another process finds by the command that was told; gives what that process showed.
pub(crate) fn replay(shrunk: &Shrunk) -> String {
    let Report { keys, faults, found, .. } = &shrunk.report;
    assert_eq!((keys.len(), faults.len()), (1, 1), "{keys:?} {faults:?}");
    let command = shrunk.scenario.command();
    let arguments = command.strip_prefix("cargo xtask simulate ").unwrap().split(' ');
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains(&found[0].to_string()), "{} is not in {shown}", found[0]);
    let without = Scenario { faults: Some(BTreeSet::new()), ..shrunk.scenario.clone() };
    assert!(without.run().verdict.holds(), "without its fault the call must be well");
    shown
}

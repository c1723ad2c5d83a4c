//! A small run of the deterministic simulation, and that a seed replays in another process.

use std::process::Command;

use trunkline_tests::simulation::{Verdict, run};

#[test]
fn nothing_is_rung_twice_misclassified_too_fast_or_lost() {
    let mut all = Verdict::default();
    (1..=12).for_each(|seed| all.add(run(seed, 200)));
    assert!(all.holds(), "{}", all.problem.unwrap_or_default());
    assert_eq!(all.calls, 2400);
}

#[test]
fn a_seed_replays_in_another_process() {
    let trace = || {
        let simulate = env!("CARGO_BIN_EXE_simulate");
        let output =
            Command::new(simulate).args(["--seeds", "2", "--first-seed", "77", "--calls", "150"]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().find(|line| line.starts_with("trace")).unwrap().to_owned()
    };
    let mut here = Verdict::default();
    (77..79).for_each(|seed| here.add(run(seed, 150)));
    assert_eq!(trace(), trace());
    assert!(trace().ends_with(&format!("{:016x}", here.trace)));
    assert_ne!(run(77, 150).trace, run(79, 150).trace, "another seed is another run");
}

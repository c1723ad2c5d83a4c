//! A small run of everything around the calls, and that a seed replays in another process.

use std::process::Command;

use trunkline_tests::simulation::{Verdict, around};

#[test]
fn events_reconciles_rotations_and_jumps_ring_nobody_twice() {
    let mut all = Verdict::default();
    (1..=24).for_each(|seed| all.add(around::run(seed, 100)));
    assert!(all.holds(), "{}", all.problem.unwrap_or_default());
    assert_eq!(all.calls, 2_400);
}

#[test]
fn a_seed_replays_in_another_process() {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["--profile", "around", "--seeds", "2", "--first-seed", "40", "--calls", "60"])
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let trace = text.lines().find(|line| line.starts_with("trace")).unwrap();
    let mut here = Verdict::default();
    (40..42).for_each(|seed| here.add(around::run(seed, 60)));
    assert!(trace.ends_with(&format!("{:016x}", here.trace)), "{trace}");
    assert_ne!(around::run(40, 60).trace, around::run(41, 60).trace, "another seed is another run");
}

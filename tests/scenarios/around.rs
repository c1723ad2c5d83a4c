//! A small run of everything around the calls, that a seed replays in another process, and that a failing one shrinks.

mod replays;

use std::process::Command;

use replays::replay;
use trunkline_tests::simulation::{Flaw, Scenario, Verdict, around};

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

#[test]
fn a_failing_seed_shrinks_to_one_call_and_one_fault_and_replays() {
    let flawed = |seed| Scenario { flaw: Some(Flaw::RefusesYetRings), ..Scenario::around(seed, 100) };
    let seed = (1..).find(|seed| !flawed(*seed).run().found.is_empty()).unwrap();
    let shrunk = flawed(seed).shrink(200).unwrap();
    let story = &shrunk.report.story;
    assert!(story.0.len() < 40, "{story}");
    replay(&shrunk);
}

//! A small run of the deterministic simulation, that a seed replays in another process, and that a failing one shrinks.

mod replays;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use replays::replay;
use trunkline_tests::simulation::{Flaw, Scenario, Verdict, run};

#[test]
fn nothing_is_rung_twice_misclassified_too_fast_or_lost() {
    let (mut all, mut kinds) = (Verdict::default(), BTreeSet::new());
    for seed in 1..=40 {
        let report = Scenario::new(seed, 200).run();
        kinds.extend(report.faults.iter().filter_map(|name| Some(name.split_once(':')?.0.to_owned())));
        all.add(report.verdict);
    }
    assert!(all.holds(), "{}", all.problem.unwrap_or_default());
    assert_eq!(all.calls, 8000);
    let steps = ["claim", "begin", "end", "settle"];
    let around =
        steps.iter().flat_map(|step| [format!("crash-before-{step}"), format!("crash-after-{step}")]);
    let crashes =
        around.chain(["crash-sent", "crash-reading", "crash-read", "crash-time"].map(str::to_owned));
    for crash in crashes {
        assert!(kinds.contains(&crash), "no {crash} in {kinds:?}");
    }
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

#[test]
fn a_failing_seed_shrinks_to_one_call_and_one_fault_and_replays() {
    let flawed = Scenario { flaw: Some(Flaw::RefusesYetRings), ..Scenario::new(2, 200) };
    let shrunk = flawed.shrink(200).unwrap();
    let (shown, story) = (replay(&shrunk), &shrunk.report.story);
    assert!(shown.contains(&story.to_string()), "the story is another one: {shown}");
}

#[test]
fn what_becomes_of_a_call_does_not_hang_on_the_others() {
    // An outage is of everybody who comes then.
    let of_requests = |faults: BTreeSet<String>| match faults.contains("outage") {
        true => 0,
        false => faults.iter().filter(|name| name.starts_with("bulk-")).count(),
    };
    let seed = (1..).find(|seed| of_requests(Scenario::new(*seed, 100).run().faults) > 40).unwrap();
    let whole = Scenario { told: true, ..Scenario::new(seed, 100) };
    let half = (0..45).map(|number| format!("bulk-{}", number * 2)).collect();
    let half = Scenario { keys: Some(half), ..whole.clone() };
    let fates = |scenario: &Scenario| {
        let faults = scenario.run().story.0.into_iter().filter(|event| event.who == "fault");
        let named = |what: String| what.split_once(": ").map(|(of, fate)| (of.to_owned(), fate.to_owned()));
        let fates = faults.filter_map(|event| Some((event.key?, named(event.what)?)));
        fates.map(|(key, (of, fate))| ((key, of), fate)).collect::<BTreeMap<_, _>>()
    };
    let (whole, half) = (fates(&whole), fates(&half));
    let both: Vec<_> = half.iter().filter_map(|(of, fate)| Some((of, fate, whole.get(of)?))).collect();
    assert!(both.len() > 25, "{}", both.len());
    both.iter().for_each(|(of, fate, before)| assert_eq!(fate, before, "{of:?}"));
}

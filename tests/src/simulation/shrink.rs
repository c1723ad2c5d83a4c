//! From a seed that fails to the fewest calls and faults that still fail.

use std::collections::BTreeSet;
use std::fmt;

use super::findings::Invariant;
use super::scenario::{Report, Scenario};

/// The smallest failing run that was found.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// Its calls and faults, named, with its story kept.
    pub scenario: Scenario,
    /// What it finds.
    pub report: Report,
    /// Runs that this took.
    pub runs: usize,
}

impl Scenario {
    /// The smallest run that breaks the same invariant, after at most so many runs; none if this one breaks none.
    pub fn shrink(&self, most: usize) -> Option<Shrunk> {
        let report = self.run();
        let first = report.found.first()?;
        let (invariant, key) = (first.invariant, first.key.clone());
        let mut search = Search { invariant, kept: (self.clone(), report), runs: 1, most };
        search.named();
        if let Some(key) = key {
            search.tries(|scenario| scenario.keys = Some(BTreeSet::from([key])));
        }
        search.least(|scenario| &mut scenario.keys);
        search.tries(|scenario| scenario.faults = Some(BTreeSet::new()));
        search.least(|scenario| &mut scenario.faults);
        search.least(|scenario| &mut scenario.keys);
        let (mut scenario, _) = search.kept;
        scenario.told = true;
        let mut report = scenario.run();
        let broken = report.found.iter().find(|found| found.invariant == invariant).map(|found| found.at);
        report.story.until(broken.unwrap_or_default());
        Some(Shrunk { scenario, report, runs: search.runs + 1 })
    }
}

struct Search {
    invariant: Invariant,
    kept: (Scenario, Report),
    runs: usize,
    most: usize,
}

impl Search {
    /// Tries the kept run with a change, and keeps it if it fails in the same way.
    fn tries(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        if self.runs >= self.most {
            return false;
        }
        self.runs += 1;
        let mut scenario = self.kept.0.clone();
        change(&mut scenario);
        let report = scenario.run();
        let fails = report.found.iter().any(|found| found.invariant == self.invariant);
        if fails {
            self.kept = (scenario, report);
            self.named();
        }
        fails
    }

    /// Names the calls and faults of the kept run: those that did not happen are no part of it.
    fn named(&mut self) {
        let (scenario, report) = &mut self.kept;
        (scenario.keys, scenario.faults) = (Some(report.keys.clone()), Some(report.faults.clone()));
    }

    /// Drops members in halves, quarters and so on, down to each alone.
    fn least(&mut self, of: impl Fn(&mut Scenario) -> &mut Option<BTreeSet<String>>) {
        let mut chunk = usize::MAX;
        loop {
            let all: Vec<_> = of(&mut self.kept.0).iter().flatten().cloned().collect();
            chunk = chunk.min(all.len().div_ceil(2));
            if chunk == 0 {
                return;
            }
            for part in all.chunks(chunk) {
                let left = |set: &BTreeSet<String>| {
                    set.iter().filter(|name| !part.contains(name)).cloned().collect()
                };
                self.tries(|scenario| {
                    let set = of(scenario);
                    *set = set.as_ref().map(left);
                });
            }
            if chunk == 1 {
                return;
            }
            chunk = chunk.div_ceil(2);
        }
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { keys, faults, found, story, .. } = &self.report;
        writeln!(
            f,
            "shrunk in {} runs to {} and {}:",
            self.runs,
            listed(keys, "call"),
            listed(faults, "fault")
        )?;
        for found in found {
            writeln!(f, "  {found}")?;
        }
        writeln!(f, "replay: {}", self.scenario.command())?;
        write!(f, "{story}")
    }
}

fn listed(names: &BTreeSet<String>, what: &str) -> String {
    let many = if names.len() == 1 { "" } else { "s" };
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    format!("{} {what}{many} ({})", names.len(), names.join(", "))
}

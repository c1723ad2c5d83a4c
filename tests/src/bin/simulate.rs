//! `cargo xtask simulate`: many seeds of the deterministic simulation; a failing one is printed and replays alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task reports to its terminal")]

use std::process::ExitCode;

use clap::Parser;
use trunkline_tests::simulation::{Flaw, Profile as Kind, Scenario, Verdict, day};

/// Deterministic fault simulation of the whole client.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Calls of each seed, 1000 by default; of the day, a million.
    #[arg(long)]
    calls: Option<usize>,
    /// The first seed; a failing one replays alone with `--seeds 1`.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// `day`: instead of many seeds, 24 hours with a daily curve, two outages and a key rotation. `around`: every seed, and not only each
    /// fifth, is about what is around the calls (events, look-ups, rotations, jumping clocks).
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Only these calls of the seed, by their keys, separated by commas.
    #[arg(long)]
    only: Option<String>,
    /// Only these faults, by their names, separated by commas; `none` for none.
    #[arg(long)]
    faults: Option<String>,
    /// Prints what happens, line by line; of one seed.
    #[arg(long)]
    story: bool,
    /// How many runs may be used to find the smallest part of the first failing seed that still fails; 0 for none.
    #[arg(long, default_value_t = 300)]
    shrink: usize,
    /// A provider that breaks its contract, to see how that is shown: `refuses-yet-rings`.
    #[arg(long, value_parser = flaw)]
    flaw: Option<Flaw>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether this seed is about what is around the calls; never if a part of a scenario is asked for.
    fn is_around(&self, seed: u64) -> bool {
        let partial = self.story || self.only.is_some() || self.faults.is_some() || self.flaw.is_some();
        matches!(self.profile, Some(Profile::Around)) || (!partial && seed.is_multiple_of(5))
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Profile {
    Day,
    Around,
}

fn flaw(name: &str) -> Result<Flaw, String> {
    match name {
        "refuses-yet-rings" => Ok(Flaw::RefusesYetRings),
        _ => Err("must be refuses-yet-rings".into()),
    }
}

fn scenario(args: &Args, seed: u64, calls: usize) -> Scenario {
    Scenario {
        profile: if args.is_around(seed) { Kind::Around } else { Kind::Calls },
        keys: args.only.as_deref().map(Scenario::names),
        faults: args.faults.as_deref().map(Scenario::names),
        flaw: args.flaw,
        told: args.story,
        ..Scenario::new(seed, calls)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let calls = args.calls.unwrap_or(1000);
    if let Some(Profile::Day) = args.profile {
        return whole_day(&args);
    }
    let mut all = Verdict::default();
    for seed in args.first_seed..args.first_seed.saturating_add(args.seeds) {
        let scenario = scenario(&args, seed, calls);
        let report = scenario.run();
        if args.story {
            eprint!("{}", report.story);
        }
        if let Some(first) = report.found.first() {
            eprintln!("seed {seed}: {first}");
            eprintln!("drawn: {}", report.plan);
            eprintln!("replay: {}", scenario.command());
            let shrunk = if all.holds() { scenario.shrink(args.shrink) } else { None };
            shrunk.inspect(|shrunk| eprint!("{shrunk}"));
        }
        all.add(report.verdict);
    }
    let holds = all.holds();
    if args.json {
        println!("{}", serde_json::to_string(&all).unwrap_or_default());
    } else {
        println!("{:<17} {}", "calls", all.calls);
        all.counts().for_each(|(name, count)| println!("{name:<17} {count}"));
        println!("trace             {:016x}", all.trace);
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "how long a simulated day takes is told in real seconds")]
fn whole_day(args: &Args) -> ExitCode {
    let began = std::time::Instant::now();
    let mut day = day::run(args.first_seed, args.calls.unwrap_or(day::CALLS));
    let seconds = began.elapsed().as_secs_f64();
    if let Some(problem) = &day.problem {
        eprintln!("{problem}");
    }
    if args.json {
        day.seconds = Some(seconds);
        println!("{}", serde_json::to_string(&day).unwrap_or_default());
    } else {
        print!("{day}");
        println!("seconds         {seconds:.1}");
    }
    if day.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

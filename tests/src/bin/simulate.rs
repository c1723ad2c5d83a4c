//! `cargo xtask simulate`: many seeds of the deterministic simulation; a failing one is printed and replays alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task reports to its terminal")]

use std::process::ExitCode;

use clap::Parser;
use trunkline_tests::simulation::{Verdict, day, run};

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
    /// Instead of many seeds: `day`, 24 hours with a daily curve, two outages and a key rotation.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Profile {
    Day,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let calls = args.calls.unwrap_or(1000);
    if let Some(Profile::Day) = args.profile {
        return whole_day(&args);
    }
    let mut all = Verdict::default();
    for seed in args.first_seed..args.first_seed.saturating_add(args.seeds) {
        let verdict = run(seed, calls);
        if let Some(problem) = &verdict.problem {
            eprintln!("{problem}");
            eprintln!("replay: cargo xtask simulate --first-seed {seed} --seeds 1 --calls {}", calls);
        }
        all.add(verdict);
    }
    let holds = all.holds();
    if args.json {
        println!("{}", serde_json::to_string(&all).unwrap_or_default());
    } else {
        println!("calls             {}", all.calls);
        println!("duplicates        {}", all.duplicates);
        println!("misclassified     {}", all.misclassified);
        println!("pace_violations   {}", all.pace_violations);
        println!("leaked_permits    {}", all.leaked_permits);
        println!("late              {}", all.late);
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

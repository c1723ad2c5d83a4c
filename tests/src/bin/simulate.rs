//! `cargo xtask simulate`: many seeds of the deterministic simulation; a failing one is printed and replays alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task reports to its terminal")]

use std::process::ExitCode;

use clap::Parser;
use trunkline_tests::simulation::{Verdict, run};

/// Deterministic fault simulation of the whole client.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Calls of each seed.
    #[arg(long, default_value_t = 1000)]
    calls: usize,
    /// The first seed; a failing one replays alone with `--seeds 1`.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut all = Verdict::default();
    for seed in args.first_seed..args.first_seed.saturating_add(args.seeds) {
        let verdict = run(seed, args.calls);
        if let Some(problem) = &verdict.problem {
            eprintln!("{problem}");
            eprintln!("replay: cargo xtask simulate --first-seed {seed} --seeds 1 --calls {}", args.calls);
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

//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use trunkline_simulator::Faults;

use crate::settings::Flags;

const EXITS: &str = "\
Exit codes:
  0    done; a call is placed
  1    a check of `demo` failed
  2    bad input or settings
  3    the provider refused
  4    outcome unknown: the phone may have rung
  5    could not be sent (keys, limit, connection, journal, an address that is taken)
  130  ended by Ctrl-C after what was under way had finished

Secrets are never flags: TRUNKLINE_API_KEY and TRUNKLINE_SIGNING_SECRET, or files, or Vault (see `trunkline call --help`).
Logs go to standard error at the level of TRUNKLINE_LOG [default: warn].";

const BATCH: &str = "\
Example:
  trunkline batch calls.csv --say \"Hello {name}, your table is ready.\" --dry-run
  trunkline batch calls.csv --say \"Hello {name}, your table is ready.\" --out results.jsonl

The first line names the columns: to (required), say or url, from, key, and tag_NAME for tags. A file that ends in .jsonl has one JSON
object a line instead. Records that are not calls go to FILE.rejects.csv. The journal remembers who was rung: the same command again
rings nobody twice. Ctrl-C takes no more rows and waits for the answers under way; a second one stops at once.

Exit codes, the highest of what happened: 0 all placed, now or before; 2 bad input or settings; 3 some rows rejected;
4 some outcomes unknown; 5 some could not be sent; 130 ended by Ctrl-C.";

const RECONCILE: &str = "\
Example: trunkline reconcile calls.csv.journal --wait 120

A call is asked about once nothing of it can leave any more and the provider's own delays are over: with the Claude-style API a bit over a
minute after its time. It needs the settings of the batch that placed the calls: account, address, keys. Found, a call is placed from now
on. Not found, it stays open, unless --free-proven-absent lets the next batch dial it. Whatever proves nothing leaves it unknown.

Exit codes: 0 nothing is open any more, 2 bad input or settings, 4 something stays open, 5 something could not be asked or noted.";

/// Places voice calls through HTTP telephony APIs: never rings a person twice by mistake, never dials faster than it may,
/// never lets a key leak.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, after_help = EXITS, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place calls over a simulated provider on loopback and compare both books
    #[command(after_help = "Example: trunkline demo --calls 500 --faults hostile --seed 7")]
    Demo(DemoArgs),
    /// Place one call
    #[command(after_help = "\
Example:
  export TRUNKLINE_API_KEY=...
  trunkline call --base-url https://voice.example.com --to +14155550123 --say \"Your table is ready.\"

Exit codes: 0 placed, 2 bad input or settings, 3 rejected, 4 outcome unknown, 5 could not be sent.")]
    Call(CallArgs),
    /// Place the calls of a CSV or JSONL file, and go on where an earlier run stopped
    #[command(after_help = BATCH)]
    Batch(BatchArgs),
    /// Ask the provider what became of a journal's calls whose outcome is unknown; rings nobody
    #[command(after_help = RECONCILE)]
    Reconcile(ReconcileArgs),
    /// Count what a journal holds, also while a batch runs
    #[command(after_help = "Example: trunkline status calls.csv.journal --json")]
    Status(StatusArgs),
    /// Write a journal as JSON lines, one key a line, without numbers and texts; also while a batch runs
    #[command(after_help = "Example: trunkline export calls.csv.journal > calls.jsonl")]
    Export(ExportArgs),
    /// Run a provider API as a fake server, for your own client or tests
    #[command(after_help = "\
Example: trunkline simulate --faults some --seed 7

It speaks plain HTTP and rings nobody. GET /_book answers its book as JSON. Runs until Ctrl-C, then prints the book.
An address that cannot be listened on ends it with exit code 5.")]
    Simulate(SimulateArgs),
    /// Show the providers: authentication, pace, billing
    #[command(after_help = "Example: trunkline providers --json")]
    Providers(ProvidersArgs),
    /// Check settings, keys, address, clock and limits, and say what to fix
    #[command(after_help = "\
Example: trunkline doctor --base-url https://voice.example.com

Rings nobody: it reads one page of calls. Exit codes: 0 all is well (warnings too), 2 a setting is wrong, 5 something cannot be reached.")]
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many calls, 1 to 79200, each to its own made-up number
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=79_200))]
    pub(crate) calls: u32,
    /// What goes wrong at the provider on purpose: none, some (55 of 1000 calls) or hostile (340 of 1000)
    #[arg(long, value_name = "SET", default_value = "none")]
    pub(crate) faults: Faults,
    /// Repeats the faults of an earlier run [default: different each time, and printed]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Serve Prometheus metrics here while it runs [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Print one JSON object instead of the tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("speech").required(true).args(["say", "url"])))]
pub(crate) struct CallArgs {
    /// Who is rung, E.164: + and 7 to 15 digits
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) to: String,
    /// Text to speak, 1 to 4096 characters
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) say: Option<String>,
    /// Audio or call script that the provider fetches, https
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The call's one name, 1 to 255 visible characters: the same key again rings nobody [default: a fresh one]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Seconds to ring, 5 to 600 [default: the provider's]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ring_timeout: Option<u32>,
    /// Seconds the conversation may last, 1 to 86400 [default: the provider's]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_duration: Option<u32>,
    /// A name and a value that come back with the call; may be repeated, at most 16
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) tag: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Flags,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// CSV with a header, or JSON lines if its name ends in .jsonl or .ndjson; UTF-8
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Append one JSON object a row to this file [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Where who was rung is remembered; keep it as long as the file [default: FILE.journal]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Text for everybody, with {column} for the row's own value, {column?} if it may be empty
    #[arg(long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    pub(crate) say: Option<String>,
    /// Take a field (to, say, url, from, key) from a column of another name; may be repeated
    #[arg(long, value_name = "FIELD=COLUMN")]
    pub(crate) map: Vec<String>,
    /// What stands between fields: , ; | or tab
    #[arg(long, value_name = "CHAR", default_value = ",")]
    pub(crate) separator: String,
    /// Name of the batch, part of the keys of rows that name none [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The line in which its calls wait for their turn: interactive or bulk
    #[arg(long, value_name = "LANE", default_value = "bulk")]
    pub(crate) lane: LaneArg,
    /// Place at most so many calls in this run; rows that were placed before do not count [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Read the whole file, report rows, time and cost, and place nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Price of one call for the estimate, in the provider's currency [default: its list price]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) price: Option<String>,
    /// After the last row wait up to so many seconds, at most 86400, until the provider can say what became of unknown rows; those whose time
    /// has come by then are asked about in any case [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) wait: Option<u32>,
    /// Dial rows again whose outcome an earlier run left unknown. This can ring people twice: the call may have been placed and only the
    /// answer lost
    #[arg(long)]
    pub(crate) redial_unknown: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Flags,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port, such as 127.0.0.1:8181")
}

/// The lanes by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum LaneArg {
    /// Before all bulk calls.
    Interactive,
    /// After all interactive calls.
    Bulk,
}

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// The journal of a batch
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,
    /// Wait up to so many seconds, at most 86400, for calls whose time has not come [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub(crate) wait: Option<u32>,
    /// Free the keys of calls that were proven not to be placed, so that the next batch dials them. The proof is the provider's word: one that
    /// acts later than it documents rings those people twice
    #[arg(long)]
    pub(crate) free_proven_absent: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Flags,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The journal of a batch
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The journal of a batch
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8181", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// What goes wrong on purpose: none, some (55 of 1000 calls) or hostile (340 of 1000)
    #[arg(long, value_name = "SET", default_value = "none")]
    pub(crate) faults: Faults,
    /// Repeats faults, keys and ids of an earlier run [default: different each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Calls a second that the account may place
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) rate: NonZeroU32,
    /// Refuse requests without X-Signature
    #[arg(long)]
    pub(crate) require_signature: bool,
    /// Print one JSON object on one line at the start and one at the end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProvidersArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Flags,
}

impl Cli {
    /// Whether results, errors among them, are wanted as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Demo(args) => args.json,
            Command::Call(args) => args.json,
            Command::Batch(args) => args.json,
            Command::Reconcile(args) => args.json,
            Command::Status(args) => args.json,
            Command::Export(_) => false,
            Command::Simulate(args) => args.json,
            Command::Providers(args) => args.json,
            Command::Doctor(args) => args.json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            assert!(command.get_after_help().is_some(), "{}", command.get_name());
        }
    }
}

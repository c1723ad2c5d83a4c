//! A process that is killed while it writes: everything that it was told is there.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use futures_util::future::join_all;
use trunkline_core_types::{AttemptJournal, Claim, Class, EntropyExt as _, SeededEntropy};
use trunkline_journal::SqliteJournal;

use crate::support::{Folder, intent, settings};

const FILE: &str = "TRUNKLINE_JOURNAL_TO_BE_KILLED";
const ROUND: &str = "TRUNKLINE_JOURNAL_ROUND";
const TASKS: u32 = 8;
const ROUNDS: u64 = 20;
const SEED: u64 = 11;

/// What a call of the writer does, by its number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Placed,
    Unknown,
    Freed,
    Flying,
    Claimed,
}

fn kind(call: u32) -> Kind {
    [Kind::Placed, Kind::Unknown, Kind::Freed, Kind::Flying, Kind::Claimed][call as usize % 5]
}

/// Tells whoever started this round that a step was acknowledged, in one write.
fn told(round: &str, step: &str, task: u32, call: u32) {
    if round.is_empty() {
        return;
    }
    std::io::stdout().write_all(format!("@{step} {task} {call}\n").as_bytes()).unwrap();
}

async fn write(journal: &dyn AttemptJournal, round: &str, task: u32, call: u32) {
    let intent = intent(&format!("r{round}-{task}-{call}"));
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 });
    told(round, "claim", task, call);
    if kind(call) == Kind::Claimed {
        return;
    }
    journal.begin(&intent, 1).await.unwrap();
    told(round, "begin", task, call);
    let class = match kind(call) {
        Kind::Placed => Class::Accepted,
        Kind::Unknown => Class::Ambiguous,
        Kind::Freed => Class::Deferred,
        Kind::Flying | Kind::Claimed => return,
    };
    journal.end(&intent.key, 1, class, (class == Class::Accepted).then(|| "reply".into())).unwrap();
    journal.settle(&intent.key, class, None).unwrap();
    told(round, "end", task, call);
}

/// The killed process is this binary with this test alone; without a file in its environment it writes a few calls of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let folder = Folder::new();
    let (file, calls) = match std::env::var_os(FILE) {
        Some(file) => (file.into(), 20_000),
        None => (folder.file(), 10),
    };
    let round = std::env::var(ROUND).unwrap_or_default();
    let journal = std::sync::Arc::new(SqliteJournal::open(file, settings()).unwrap());
    let task = |task| {
        let (journal, round) = (journal.clone(), round.clone());
        tokio::spawn(async move {
            for call in 0..calls {
                write(&*journal, &round, task, call).await;
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    for task in tasks {
        task.await.unwrap();
    }
    journal.close().await;
    assert_eq!(journal.status().await.unwrap().accepted, u64::from(TASKS * calls.div_ceil(5)));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the writer, kills it after `lines` steps, and returns each call with the last step that it was told.
fn told_until(mut writer: Command, folder: &Folder, round: u64, lines: u64) -> HashMap<(u32, u32), String> {
    writer.args(["--exact", "kill::writer", "--nocapture"]);
    writer
        .env(FILE, folder.file())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut writer = Killed(writer.spawn().unwrap());
    let mut output = BufReader::new(writer.0.stdout.take().unwrap());
    let (mut steps, mut seen, mut line) = (HashMap::new(), 0, String::new());
    while output.read_line(&mut line).unwrap() > 0 {
        // libtest's own words may stand before the first one; a line cut off by the kill was not told.
        if let Some(start) = line.find('@').filter(|_| line.ends_with('\n')) {
            let mut words = line[start + 1..].split_whitespace();
            let step = words.next().unwrap().to_owned();
            let mut number = || words.next().unwrap().parse().unwrap();
            steps.insert((number(), number()), step);
            seen += 1;
        }
        line.clear();
        if seen == lines {
            // What is in the pipe is read to its end after this.
            writer.0.kill().unwrap();
        }
    }
    steps
}

/// `ends_fit`: no end was refused; where the disk is full a later, smaller claim may fit and the end before it not, which leaves it open.
async fn check(journal: &SqliteJournal, round: u64, steps: &HashMap<(u32, u32), String>, ends_fit: bool) {
    let reply = Some("reply".into());
    let claim = async |(&(task, call), step)| {
        let intent = intent(&format!("r{round}-{task}-{call}"));
        (task, call, step, journal.claim(&intent).await.unwrap())
    };
    for (task, call, step, claim) in join_all(steps.iter().map(claim)).await {
        // The task went on, so the end was durable before its next begin was; a claim alone needs no commit.
        let begun = |later: &u32| steps.get(&(task, *later)).is_some_and(|step| step != "claim");
        let went_on = ends_fit && (call + 1..call + 3).any(|later| begun(&later));
        let free_unless_begun = step == "claim" && matches!(claim, Claim::Go { number: 1 });
        let open_unless_ended = claim == Claim::Open && !went_on;
        let fits = match kind(call) {
            Kind::Placed => open_unless_ended || claim == Claim::Settled(Class::Accepted, reply.clone()),
            Kind::Freed => open_unless_ended || claim == Claim::Go { number: 2 },
            Kind::Unknown | Kind::Flying => claim == Claim::Open,
            Kind::Claimed => claim == Claim::Go { number: 1 },
        };
        assert!(fits || free_unless_begun, "round {round}, task {task}, call {call} after {step}: {claim:?}");
    }
}

#[tokio::test]
async fn what_a_killed_writer_was_told_is_there() {
    let folder = Folder::new();
    let entropy = SeededEntropy::new(SEED);
    let mut told = 0;
    for round in 0..ROUNDS {
        let writer = Command::new(std::env::current_exe().unwrap());
        let steps = told_until(writer, &folder, round, 1 + entropy.below(400));
        told += steps.len();
        let journal = folder.open();
        check(&journal, round, &steps, true).await;
        journal.integrity_check().await.unwrap();
    }
    eprintln!("{ROUNDS} kills, seed {SEED}, {told} calls checked");
}

/// The operating system refuses to let the file grow, and the journal does not expect it.
#[tokio::test]
async fn what_was_told_before_the_disk_refused_is_there() {
    let folder = Folder::new();
    let mut writer = Command::new("sh");
    // Without the signal a write past the limit fails as an error.
    writer
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());
    let steps = told_until(writer, &folder, 0, u64::MAX);
    assert!((20..u64::from(TASKS) as usize * 20_000).contains(&steps.len()), "{} calls", steps.len());
    let journal = folder.open();
    check(&journal, 0, &steps, false).await;
    journal.integrity_check().await.unwrap();
}

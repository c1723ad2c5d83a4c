//! How many calls a second the durable journal notes (claim, begin, end, settle), by callers at once:
//! `cargo run --release -p trunkline-journal --features sqlite --example journal_speed -- [FOLDER] [CALLS]`.
//!
//! Writes a file into FOLDER (default: the current one), so that it is that disk's figure, and removes it again.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trunkline_core_types::{AttemptJournal, Claim, Class, Clock as _, Intent, JournalError, SystemClock};
use trunkline_journal::{MemoryJournal, SqliteJournal, SqliteSettings};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| ".".into());
    let calls: u32 = arguments.next().map_or(Ok(20_000), |calls| calls.parse())?;
    let mut out = std::io::stdout();
    writeln!(out, "{:>8} {:>12} {:>12} {:>7}", "callers", "calls/s", "store", "ratio")?;
    let mut single = None;
    for callers in [1, 4, 16, 64, 256] {
        let file = Path::new(&folder).join(format!("speed-{callers}.journal"));
        let journal =
            Arc::new(SqliteJournal::open(&file, SqliteSettings::new(Arc::new(SystemClock::new())))?);
        // One caller alone is slow; a fifth of the calls measures it as well.
        let calls = if callers == 1 { calls / 5 } else { calls };
        let rate = measure(journal.clone(), callers, calls).await?;
        journal.close().await;
        drop(journal);
        for suffix in ["", ".lock"] {
            std::fs::remove_file(format!("{}{suffix}", file.display()))?;
        }
        let ratio = rate / *single.get_or_insert(rate);
        writeln!(out, "{callers:>8} {rate:>12.0} {:>12} {ratio:>7.1}", "sqlite")?;
    }
    let memory = Arc::new(MemoryJournal::new(Arc::new(SystemClock::new())));
    let rate = measure(memory, 64, calls).await?;
    writeln!(out, "{:>8} {rate:>12.0} {:>12}", 64, "memory")?;
    Ok(())
}

/// Calls a second over `callers` tasks, from the first claim to the last settle.
async fn measure(journal: Arc<dyn AttemptJournal>, callers: u32, calls: u32) -> Result<f64, Failure> {
    let clock = SystemClock::new();
    let started = clock.now();
    let caller = |caller: u32| {
        let journal = journal.clone();
        tokio::spawn(async move {
            for call in (caller..calls).step_by(callers as usize) {
                note(&*journal, call).await?;
            }
            Ok::<(), Failure>(())
        })
    };
    let running: Vec<_> = (0..callers).map(caller).collect();
    for caller in running {
        caller.await??;
    }
    Ok(f64::from(calls) / clock.now().duration_since(started).as_secs_f64())
}

async fn note(journal: &dyn AttemptJournal, call: u32) -> Result<(), Failure> {
    let intent = Arc::new(Intent {
        key: format!("tk_{call:032x}").parse()?,
        account: "main".parse()?,
        detail: format!(r#"{{"to":"+1415555{:04}","tts":"{}"}}"#, call % 10_000, "x".repeat(200)).into(),
        fence: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
    });
    let Claim::Go { number } = journal.claim(&intent).await? else { return Err("the key is taken".into()) };
    journal.begin(&intent, number).await?;
    let reply = format!(r#"{{"call_id":"call_{call:020}","status":"queued"}}"#);
    finish(journal, &intent, number, reply)?;
    Ok(())
}

fn finish(
    journal: &dyn AttemptJournal,
    intent: &Intent,
    number: u32,
    reply: String,
) -> Result<(), JournalError> {
    journal.end(&intent.key, number, Class::Accepted, Some(reply.into()))?;
    journal.settle_claim(&intent.key, number, Class::Accepted, None)
}

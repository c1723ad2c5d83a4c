//! How much memory a batch takes: rows from nowhere, a check that lets none of them through, resident size before and after.
//!
//! `cargo run --release -p trunkline --features batch --example batch_memory -- 200000`

use std::error::Error;
use std::io::{self, Read, Write};

use futures_util::StreamExt;
use trunkline::batch::{Batch, BatchSettings, Columns, RowClass};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, BoxFuture, Client, Clock, DialCheck, Journal, NewCall, SystemClock};

/// A file of this many rows, made as it is read.
struct Rows {
    next: u64,
    count: u64,
    line: Vec<u8>,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.line.is_empty() && self.next < self.count {
            self.line = match self.next {
                0 => b"to,name\n".to_vec(),
                n => format!("+1202{:07},Person {n}\n", n % 10_000_000).into_bytes(),
            };
            self.next += 1;
        }
        let length = buffer.len().min(self.line.len());
        buffer[..length].copy_from_slice(&self.line[..length]);
        self.line.drain(..length);
        Ok(length)
    }
}

/// Lets nobody through, so that no pace holds it up and nothing is sent.
#[derive(Debug)]
struct Nobody;

impl DialCheck for Nobody {
    fn allow<'a>(&'a self, _: &'a NewCall) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("measured only".to_owned()) })
    }
}

/// Resident size in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let keys = StaticKeys::new("no key".into())?;
    let account = Account::new("main", ClaudeVoice::new("https://voice.example.com")?, keys)?;
    let client = Client::builder(Journal::in_memory()).account(account).on_dial(Nobody).build()?;
    let clock = SystemClock::new();
    let (before, begun, mut most) = (resident(), clock.now(), 0);

    let columns = Columns::new("memory").say_template("Hello {name}, your table is ready.")?;
    let batch = Batch::csv(Rows { next: 0, count: rows + 1, line: Vec::new() }, columns)?;
    let mut run = client.place_batch(batch, BatchSettings::default());
    while let Some(result) = run.next().await {
        result?;
        if run.tally().total() % 10_000 == 0 {
            most = most.max(resident());
        }
    }
    let (count, seconds) =
        (run.tally().count(RowClass::NotAllowed), clock.now().duration_since(begun).as_secs_f64());
    let growth = most.max(resident()).saturating_sub(before);
    writeln!(io::stdout(), "{count} rows in {seconds:.1} s, resident growth {growth} KiB")?;
    Ok(())
}

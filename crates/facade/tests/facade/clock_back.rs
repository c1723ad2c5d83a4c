//! A wall clock that was set back between two processes of one journal file: nobody is rung again, and nothing is freed early.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use trunkline::batch::{Batch, BatchSettings, Columns, Tally};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, BoxFuture, Client, Clock, Journal, RetrySettings, SqliteSettings, SystemClock};
use trunkline_simulator::{Fault, Simulator};

const DAY: i64 = 86_400;

/// The machine's clock with its wall time moved by so many seconds.
#[derive(Debug)]
struct Moved(SystemClock, i64);

impl Clock for Moved {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        let by = Duration::from_secs(self.1.unsigned_abs());
        if self.1 < 0 { self.0.wall() - by } else { self.0.wall() + by }
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-clock-back-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process of its own, whose wall clock is off by so much.
fn client(sim: &Simulator, folder: &Folder, seconds: i64) -> Client {
    let clock: Arc<dyn Clock> = Arc::new(Moved(SystemClock::new(), seconds));
    let journal = Journal::sqlite_with(folder.0.join("journal"), SqliteSettings::new(clock.clone())).unwrap();
    let keys = StaticKeys::new(sim.api_key().into()).unwrap();
    let account = Account::new("main", ClaudeVoice::new(&sim.base_url()).unwrap(), keys).unwrap();
    let mut retry = RetrySettings::default();
    retry.max_tries = 1;
    Client::builder(journal).account(account).retry(retry).clock(clock).build().unwrap()
}

async fn placed(client: &Client) -> Tally {
    let rows: String = (0..6).map(|n| format!("+1415555{n:04},hello\n")).collect();
    let batch = Batch::csv(Cursor::new(format!("to,say\n{rows}")), Columns::new("test")).unwrap();
    let mut settings = BatchSettings::default();
    settings.timeout = Some(Duration::from_millis(400));
    let mut run = client.place_batch(batch, settings);
    while let Some(result) = run.next().await {
        result.unwrap();
    }
    run.tally().clone()
}

#[tokio::test]
async fn a_clock_set_back_rings_nobody_and_frees_nothing() {
    use trunkline::batch::RowClass::{Already, Ambiguous, Placed};
    let (sim, folder) = (Simulator::start().await.unwrap(), Folder::new());
    assert!(sim.fault_next(Fault::Slow(Duration::from_secs(60))));
    let first = placed(&client(&sim, &folder, 0)).await;
    assert_eq!((first.count(Placed), first.count(Ambiguous)), (5, 1));
    let creates = sim.book().creates;

    for back in [-DAY, -3600, -400 * DAY] {
        let client = client(&sim, &folder, back);
        let again = placed(&client).await;
        assert_eq!((again.count(Already), again.count(Ambiguous)), (5, 1), "{back}");
        let report = client.reconciler().free_proven_absent().run_once(100).await;
        assert_eq!(
            (report.placed, report.proven_absent),
            (0, 0),
            "{back}: its time is not over by this clock"
        );
    }
    assert_eq!(sim.book().creates, creates, "somebody was dialled again");

    // By a clock that is right again, and later than the last moment at which the call could act, it is found.
    let later = client(&sim, &folder, DAY);
    assert_eq!(later.reconciler().run_once(100).await.placed, 1);
    assert_eq!(placed(&later).await.count(Already), 6);
    assert_eq!((sim.book().calls, sim.book().duplicates), (6, 0));
}

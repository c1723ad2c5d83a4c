//! What is deleted with time, and what never is.

use std::time::Duration;

use trunkline_core_types::{AttemptJournal, Claim, Class, Scope};
use trunkline_journal::{SqliteJournal, SqliteSettings};

use crate::support::{Folder, Hand, fenced, intent, place};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn ended_keys_go_after_the_retention_and_open_ones_never() {
    let folder = Folder::new();
    let clock = Hand::new();
    let settings = SqliteSettings { retention: HOUR, ..SqliteSettings::new(clock.clone()) };
    let journal = SqliteJournal::open(folder.file(), settings.clone()).unwrap();
    for i in 0..510 {
        journal.claim(&intent(&format!("unused-{i}"))).await.unwrap();
    }
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "refused", Class::Rejected(Scope::Call)).await;
    place(&journal, "unsent", Class::Unsent).await;
    place(&journal, "unknown", Class::Ambiguous).await;
    let flying = intent("flying");
    journal.claim(&flying).await.unwrap();
    journal.begin(&flying, 1).await.unwrap();
    drop(journal);

    // 510 claims that were never used are free now.
    let journal = SqliteJournal::open(folder.file(), settings.clone()).unwrap();
    clock.forward(HOUR);
    place(&journal, "young", Class::Accepted).await;
    assert_eq!(journal.sweep().await.unwrap(), 0, "nothing is older than an hour");
    clock.forward(Duration::from_secs(1));
    assert_eq!(journal.sweep().await.unwrap(), 500, "in small batches");
    assert_eq!(journal.sweep().await.unwrap(), 13);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    let status = journal.status().await.unwrap();
    assert_eq!((status.accepted, status.rejected, status.free, status.open), (1, 0, 0, 2));

    clock.forward(HOUR * 24 * 365);
    drop(journal);
    let journal = SqliteJournal::open(folder.file(), settings).unwrap();
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Open);
    assert_eq!(journal.claim(&flying).await.unwrap(), Claim::Open);
    // It swept by itself when it was opened, and a swept key is forgotten.
    assert_eq!(journal.status().await.unwrap().accepted, 0);
    assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Go { number: 1 });

    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    let orphans: u32 = conn
        .query_row("SELECT count(*) FROM attempts WHERE call NOT IN (SELECT id FROM calls)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(orphans, 0, "attempts go with their call");
}

#[tokio::test]
async fn it_sweeps_by_itself_once_a_minute() {
    let folder = Folder::new();
    let clock = Hand::new();
    let settings = SqliteSettings { retention: HOUR, ..SqliteSettings::new(clock.clone()) };
    let journal = SqliteJournal::open(folder.file(), settings).unwrap();
    place(&journal, "placed", Class::Accepted).await;
    journal.flush().await.unwrap();
    clock.forward(HOUR * 2);
    for i in 0..2 {
        place(&journal, &format!("next-{i}"), Class::Accepted).await;
    }
    // Forgotten in the memory too.
    assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Go { number: 1 });
    journal.close().await;
    let status = SqliteJournal::read_only(folder.file()).unwrap().status().unwrap();
    assert_eq!(status.accepted, 2);
}

#[tokio::test]
async fn a_clock_set_back_frees_and_deletes_nothing() {
    let folder = Folder::new();
    let clock = Hand::new();
    let settings = SqliteSettings { retention: HOUR, ..SqliteSettings::new(clock.clone()) };
    let journal = SqliteJournal::open(folder.file(), settings.clone()).unwrap();
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "unknown", Class::Ambiguous).await;
    let flying = fenced("flying", clock_wall(&clock) + HOUR);
    journal.claim(&flying).await.unwrap();
    journal.begin(&flying, 1).await.unwrap();
    drop(journal);

    clock.set_wall_back(HOUR * 24 * 365 * 30);
    let journal = SqliteJournal::open(folder.file(), settings).unwrap();
    assert_eq!(journal.sweep().await.unwrap(), 0);
    journal.settle(&flying.key, Class::Unsent, None).unwrap();
    for (key, open) in [("unknown", true), ("flying", true), ("placed", false)] {
        let claim = journal.claim(&intent(key)).await.unwrap();
        assert_eq!(claim == Claim::Open, open, "{key}: {claim:?}");
        assert!(!matches!(claim, Claim::Go { .. }), "{key} rings again");
    }
    assert_eq!(journal.status().await.unwrap().refused_proofs, 1, "too early by this clock");
}

fn clock_wall(clock: &Hand) -> std::time::SystemTime {
    trunkline_core_types::Clock::wall(clock)
}

//! A disk that takes no more: what could not be noted is not dialled, and what was noted stays.

use std::sync::Arc;

use trunkline_core_types::{AttemptJournal, Claim, Class, Intent, JournalError, JournalErrorKind};
use trunkline_journal::{SqliteJournal, SqliteSettings};

use crate::support::{Folder, intent, place, settings};

#[tokio::test]
async fn a_full_file_refuses_claims_and_forgets_nothing() {
    let folder = Folder::new();
    let tight = || SqliteSettings { max_bytes: Some(200_000), ..settings() };
    let journal = SqliteJournal::open(folder.file(), tight()).unwrap();
    let flying = intent("flying");
    journal.claim(&flying).await.unwrap();
    journal.begin(&flying, 1).await.unwrap();

    let mut placed = 0;
    let refused = loop {
        let call = intent(&format!("{placed}-{}", "x".repeat(200)));
        if let Err(error) = begun(&journal, &call).await {
            break (call, error);
        }
        journal.end(&call.key, 1, Class::Accepted, Some("reply".into())).unwrap();
        placed += 1;
        assert!(placed < 2_000, "it never got full");
    };
    assert_eq!(refused.1.kind(), JournalErrorKind::Full, "{:?}", refused.1);
    assert!(refused.1.to_string().contains("max_bytes"), "{}", refused.1);

    // What is not noted does not go, and its key is not kept taken. Some may still find a corner.
    let (mut went, mut refusals) = (0, 0);
    let before = journal.status().await.unwrap().open;
    for i in 0..20 {
        let call = intent(&format!("more-{i}-{}", "y".repeat(200)));
        for _ in 0..2 {
            match begun(&journal, &call).await {
                Ok(()) => {
                    went += 1;
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), JournalErrorKind::Full);
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals > 10, "{refusals} refusals");
    assert_eq!(journal.status().await.unwrap().open, before + went);
    // An end needs little; whatever becomes of it on the disk, it is known here.
    journal.end(&flying.key, 1, Class::Accepted, Some("r".repeat(60_000).into())).unwrap();
    let answer = Claim::Settled(Class::Accepted, Some("r".repeat(60_000).into()));
    assert_eq!(journal.claim(&flying).await.unwrap(), answer);
    assert_eq!(journal.status().await.unwrap().unwritten, 1);
    journal.close().await;
    drop(journal);

    // Everything acknowledged is there; what could not be written is open, never free.
    let journal = SqliteJournal::open(folder.file(), tight()).unwrap();
    assert_eq!(journal.claim(&flying).await.unwrap(), Claim::Open);
    for i in 0..placed {
        let call = intent(&format!("{i}-{}", "x".repeat(200)));
        let claim = journal.claim(&call).await.unwrap();
        assert_eq!(claim, Claim::Settled(Class::Accepted, Some("reply".into())), "{i}");
    }
    journal.close().await;
    drop(journal);
    let journal = folder.open();
    place(&journal, "roomy", Class::Accepted).await;
}

/// Claims and begins, and gives back what could not be noted, as the client does.
async fn begun(journal: &SqliteJournal, call: &Arc<Intent>) -> Result<(), JournalError> {
    assert_eq!(journal.claim(call).await?, Claim::Go { number: 1 });
    let begun = journal.begin(call, 1).await;
    if begun.is_err() {
        journal.end(&call.key, 1, Class::Unsent, None).unwrap();
        journal.settle(&call.key, Class::Unsent, None).unwrap();
    }
    begun
}

#[tokio::test]
async fn an_end_that_found_no_room_is_written_when_there_is_some() {
    let folder = Folder::new();
    let clock = crate::support::Hand::new();
    let tight = SqliteSettings { max_bytes: Some(200_000), ..SqliteSettings::new(clock.clone()) };
    let journal = SqliteJournal::open(folder.file(), tight).unwrap();
    let mut old = 0;
    while let Ok(claim) = journal.claim(&intent(&format!("old-{old}-{}", "x".repeat(200)))).await {
        assert_eq!(claim, Claim::Go { number: 1 });
        let key = intent(&format!("old-{old}-{}", "x".repeat(200))).key.clone();
        journal.settle(&key, Class::Unsent, None).unwrap();
        old += 1;
        if old == 60 {
            place(&journal, "placed", Class::Ambiguous).await;
        }
    }
    let reply = Some(bytes::Bytes::from("r".repeat(60_000)));
    journal.settle(&intent("placed").key, Class::Accepted, reply.clone()).unwrap();
    assert!(journal.open_calls(crate::support::at(5_000_000_000), None, 9).await.unwrap().len() == 1);
    assert_eq!(journal.status().await.unwrap().unwritten, 1);

    clock.forward(SqliteSettings::RETENTION + std::time::Duration::from_secs(1));
    // The writer may have begun to sweep by itself.
    journal.sweep().await.unwrap();
    assert_eq!(journal.open_calls(crate::support::at(5_000_000_000), None, 9).await.unwrap(), vec![]);
    assert_eq!(journal.status().await.unwrap().unwritten, 0);
    drop(journal);
    let journal = folder.open();
    assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Settled(Class::Accepted, reply));
}

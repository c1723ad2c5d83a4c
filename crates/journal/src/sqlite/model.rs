//! The writer and its callers under every interleaving: whoever waits is answered, and what nobody saw is taken back.

use std::path::PathBuf;
use std::sync::Arc;

use loom::future::block_on;
use loom::thread::{self, JoinHandle};
use tokio::sync::{Semaphore, watch};
use trunkline_core_types::{AttemptJournal, Claim, Class, JournalErrorKind};

use super::shared::Shared;
use super::writer::Writer;
use super::{SqliteJournal, SqliteSettings, schema};
use crate::sync::model::{ModelClock, explore, glance, intent};

/// In words; SQLite needs more than loom gives.
const STACK: usize = 128 * 1024;

fn on_a_large_stack(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap()
}

fn open(schema: &'static str) -> (Arc<SqliteJournal>, JoinHandle<()>) {
    let shared = Arc::new(Shared::new(ModelClock::new()));
    let (word, running) = watch::channel(());
    let served = shared.clone();
    let writer = on_a_large_stack(move || {
        Writer::new(schema::in_memory(schema), served, SqliteSettings::RETENTION, word).run();
    });
    let looks = Arc::new(Semaphore::new(1));
    let journal = SqliteJournal { path: PathBuf::new(), shared, running, thread: Default::default(), looks };
    (Arc::new(journal), writer)
}

fn close(journal: Arc<SqliteJournal>, writer: JoinHandle<()>) {
    drop(Arc::into_inner(journal).unwrap());
    writer.join().unwrap();
}

#[test]
fn of_two_claimers_of_one_key_one_goes() {
    explore(|| {
        let (journal, writer) = open("");
        let other = journal.clone();
        let claims = |journal: &SqliteJournal| block_on(journal.claim(&intent("key"))).unwrap();
        let theirs = thread::spawn(move || claims(&other));
        let mine = claims(&journal);
        let both = [theirs.join().unwrap(), mine];
        assert!(both.contains(&Claim::Go { number: 1 }) && both.contains(&Claim::Open), "{both:?}");
        close(journal, writer);
    });
}

#[test]
fn a_claim_that_is_dropped_at_any_moment_leaves_its_key_free() {
    explore(|| {
        let (journal, writer) = open("");
        let call = intent("key");
        let mut first = journal.claim(&call);
        let unseen = glance(&mut first).is_pending();
        drop(first);
        let second = block_on(journal.claim(&call)).unwrap();
        assert_eq!(matches!(second, Claim::Go { .. }), unseen, "{second:?}");
        close(journal, writer);
    });
}

#[test]
fn a_begin_that_is_dropped_at_any_moment_did_not_go_out() {
    explore(|| {
        let (journal, writer) = open("");
        let call = intent("key");
        journal.shared.lock().table.claim(&call);
        let mut begin = journal.begin(&call, 1);
        let unseen = glance(&mut begin).is_pending();
        drop(begin);
        block_on(journal.flush()).unwrap();
        assert_eq!(journal.settle(&call.key, Class::Unsent, None).is_ok(), unseen);
        close(journal, writer);
    });
}

#[test]
fn a_begin_that_cannot_be_written_leaves_nothing_behind() {
    explore(|| {
        let refuse = "CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT raise(ABORT, 'full'); END";
        let (journal, writer) = open(refuse);
        let call = intent("key");
        journal.shared.lock().table.claim(&call);
        block_on(journal.begin(&call, 1)).unwrap_err();
        journal.end(&call.key, 1, Class::Unsent, None).unwrap();
        journal.settle(&call.key, Class::Unsent, None).unwrap();
        block_on(journal.flush()).unwrap();
        assert_eq!(journal.shared.lock().table.len(), 0);
        close(journal, writer);
    });
}

#[test]
fn whoever_waits_is_answered_when_the_journal_is_closed_or_its_writer_dies() {
    for schema in ["", "DROP TABLE calls"] {
        explore(move || {
            let (journal, writer) = open(schema);
            let other = journal.clone();
            let claiming = thread::spawn(move || match block_on(other.claim(&intent("key"))) {
                Ok(claim) => assert_eq!((claim, schema), (Claim::Go { number: 1 }, "")),
                Err(error) => assert_eq!(error.kind(), JournalErrorKind::Store),
            });
            if schema.is_empty() {
                journal.shared.close();
            }
            claiming.join().unwrap();
            close(journal, writer);
        });
    }
}

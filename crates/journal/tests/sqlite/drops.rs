//! Futures that are dropped, steps that come together, keys that left the memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::*;
use trunkline_core_types::{AttemptJournal, Claim, Class, Intent, JournalErrorKind, Scope, SystemClock};
use trunkline_journal::{MemoryJournal, SqliteJournal};

use crate::support::{Folder, at, fenced, intent, place};

fn polled<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Keeps the writer from committing, as an operator's transaction does.
fn stopped(folder: &Folder) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

/// Commits in the log since its start.
fn commits(folder: &Folder) -> usize {
    let mut log = folder.file().into_os_string();
    log.push("-wal");
    let log = std::fs::read(log).unwrap();
    let frames = log.get(32..).unwrap_or_default().chunks_exact(24 + 4096);
    // A commit's last frame tells the size of the file after it.
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

/// A call whose begin keeps the writer at its commit until the file is given free.
async fn busy(journal: &SqliteJournal) -> Arc<Intent> {
    let busy = intent("busy");
    assert_eq!(journal.claim(&busy).await.unwrap(), Claim::Go { number: 1 });
    busy
}

#[tokio::test]
async fn a_claim_dropped_before_its_answer_frees_the_key() {
    let folder = Folder::new();
    let journal = folder.open();
    let busy = busy(&journal).await;
    let held = stopped(&folder);
    let mut first = Box::pin(journal.begin(&busy, 1));
    assert!(polled(first.as_mut()).is_pending());
    // The first may come before the writer is at its commit.
    let calls: Vec<_> = (0..100).map(|i| intent(&format!("dropped-{i}"))).collect();
    let unseen = |call| polled(Box::pin(journal.claim(call)).as_mut()).is_pending();
    let unseen: Vec<_> = calls.iter().filter(|call| unseen(call)).collect();
    assert!(unseen.len() > 10, "{} unseen", unseen.len());
    held.execute_batch("COMMIT").unwrap();
    first.await.unwrap();
    for call in unseen {
        assert_eq!(journal.claim(call).await.unwrap(), Claim::Go { number: 1 });
        assert_eq!(journal.claim(call).await.unwrap(), Claim::Open);
    }
}

#[tokio::test]
async fn a_claim_dropped_after_its_answer_frees_the_key() {
    let folder = Folder::new();
    let journal = folder.open();
    let busy = busy(&journal).await;
    for number in 1..10 {
        let held = stopped(&folder);
        let mut first = Box::pin(journal.begin(&busy, number));
        assert!(polled(first.as_mut()).is_pending());
        let call = intent(&format!("dropped-{number}"));
        let mut unseen = Box::pin(journal.claim(&call));
        let pending = polled(unseen.as_mut()).is_pending();
        held.execute_batch("COMMIT").unwrap();
        first.await.unwrap();
        journal.end(&busy.key, number, Class::Deferred, None).unwrap();
        journal.flush().await.unwrap();
        drop(unseen);
        if pending {
            assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 2 });
        }
        assert_eq!(journal.claim(&call).await.unwrap(), Claim::Open);
    }
}

#[tokio::test]
async fn a_begin_that_nobody_saw_did_not_go_out() {
    let folder = Folder::new();
    let journal = folder.open();
    for (i, wait) in [true, false].into_iter().enumerate() {
        let call = intent(&format!("dropped-{i}"));
        assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
        let mut unseen = Box::pin(journal.begin(&call, 1));
        assert!(polled(unseen.as_mut()).is_pending());
        if wait {
            journal.flush().await.unwrap();
        }
        drop(unseen);
        journal.flush().await.unwrap();
        // Not in flight any more, and the key is still the claimer's.
        assert_eq!(journal.claim(&call).await.unwrap(), Claim::Open);
        journal.begin(&call, 2).await.unwrap();
        journal.end(&call.key, 2, Class::Unsent, None).unwrap();
        journal.settle(&call.key, Class::Unsent, None).unwrap();
        assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 3 });
    }
}

#[tokio::test]
async fn what_comes_together_is_one_commit() {
    let folder = Folder::new();
    let journal = folder.open();
    let busy = busy(&journal).await;
    let intents: Vec<_> = (0..64).map(|i| intent(&format!("together-{i}"))).collect();
    for claim in join_all(intents.iter().map(|intent| journal.claim(intent))).await {
        assert_eq!(claim.unwrap(), Claim::Go { number: 1 });
    }
    // Or tokio's budget of a task may be used up, and the last begin is not even queued.
    tokio::task::yield_now().await;
    let (held, before) = (stopped(&folder), commits(&folder));
    let mut first = Box::pin(journal.begin(&busy, 1));
    assert!(polled(first.as_mut()).is_pending());
    let mut begins: Vec<_> = intents.iter().map(|intent| Box::pin(journal.begin(intent, 1))).collect();
    assert!(begins.iter_mut().all(|begin| polled(begin.as_mut()).is_pending()));
    held.execute_batch("COMMIT").unwrap();
    first.await.unwrap();
    assert!(join_all(begins).await.into_iter().all(|begun| begun.is_ok()));
    // The first may have gone alone.
    assert!(commits(&folder) - before <= 2, "{} commits", commits(&folder) - before);
}

#[tokio::test]
async fn a_claim_needs_no_commit_of_its_own() {
    let folder = Folder::new();
    let journal = folder.open();
    journal.flush().await.unwrap();
    let (held, call) = (stopped(&folder), intent("alone"));
    // Nothing can be committed now.
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
    let mut begin = Box::pin(journal.begin(&call, 1));
    assert!(polled(begin.as_mut()).is_pending());
    let before = commits(&folder);
    held.execute_batch("COMMIT").unwrap();
    begin.await.unwrap();
    // One, or two where the machine was so slow that the claim lingered.
    assert!((1..=2).contains(&(commits(&folder) - before)), "{} commits", commits(&folder) - before);
}

#[tokio::test]
async fn a_claim_that_lingers_is_seen_in_the_file() {
    let folder = Folder::new();
    let journal = folder.open();
    let call = intent("waits-for-its-turn");
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
    assert_eq!(journal.status().await.unwrap().claimed, 1);
    drop(journal);
    assert_eq!(folder.open().claim(&call).await.unwrap(), Claim::Go { number: 1 });
}

#[tokio::test]
async fn more_steps_than_the_queue_holds_wait_their_turn() {
    let folder = Folder::new();
    let journal = folder.open();
    let intents: Vec<_> = (0..1_500).map(|i| intent(&format!("many-{i}"))).collect();
    for claim in join_all(intents.iter().map(|intent| journal.claim(intent))).await {
        assert_eq!(claim.unwrap(), Claim::Go { number: 1 });
    }
    let held = stopped(&folder);
    let mut begins: Vec<_> = intents.iter().map(|intent| Box::pin(journal.begin(intent, 1))).collect();
    assert!(begins.iter_mut().all(|begin| polled(begin.as_mut()).is_pending()));
    // An end needs no place in the queue.
    journal.end(&intents[0].key, 1, Class::Ambiguous, None).unwrap();
    held.execute_batch("COMMIT").unwrap();
    assert!(join_all(begins).await.into_iter().all(|begun| begun.is_ok()));
}

#[tokio::test]
async fn keys_that_left_the_memory_answer_as_before() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "unknown", Class::Ambiguous).await;
    place(&journal, "unsent", Class::Unsent).await;
    many_others(&journal).await;
    let debug = format!("{journal:?}");
    let in_memory: usize = debug.split([' ', ',']).find_map(|word| word.parse().ok()).unwrap();
    assert!(in_memory <= 1_024, "{debug}");

    journal.settle(&intent("placed").key, Class::Rejected(Scope::Call), None).unwrap();
    journal.settle(&intent("nobody").key, Class::Accepted, None).unwrap();
    let reply = Some("reply to +14155550123".into());
    assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Settled(Class::Accepted, reply));
    assert_eq!(journal.status().await.unwrap().refused_proofs, 2);
    assert_eq!(journal.claim(&intent("nobody")).await.unwrap(), Claim::Go { number: 1 });

    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Open);
    journal.settle(&intent("unknown").key, Class::Accepted, None).unwrap();
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Settled(Class::Accepted, None));

    assert_eq!(journal.claim(&intent("unsent")).await.unwrap(), Claim::Go { number: 2 });
    assert_eq!(journal.begin(&intent("unsent"), 1).await.unwrap_err().kind(), JournalErrorKind::State);
    journal.begin(&intent("unsent"), 2).await.unwrap();
}

/// Ends and pushes out of the memory whatever may go.
async fn many_others(journal: &SqliteJournal) {
    let others: Vec<_> = (0..1_500).map(|i| format!("other-{i}")).collect();
    for some in others.chunks(500) {
        join_all(some.iter().map(|key| place(journal, key, Class::Accepted))).await;
    }
    journal.flush().await.unwrap();
}

#[tokio::test]
async fn what_may_still_change_stays_in_the_memory() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "unknown", Class::Ambiguous).await;
    let flying = intent("flying");
    journal.claim(&flying).await.unwrap();
    journal.begin(&flying, 1).await.unwrap();
    journal.settle(&flying.key, Class::Accepted, None).unwrap();
    journal.flush().await.unwrap();
    let conn = folder.stuck();
    journal.settle(&intent("unknown").key, Class::Accepted, None).unwrap();
    many_others(&journal).await;

    journal.end(&flying.key, 1, Class::Accepted, Some("reply".into())).unwrap();
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Settled(Class::Accepted, None));
    assert_eq!(journal.status().await.unwrap().unwritten, 1);
    conn.execute_batch("DROP TRIGGER stuck").unwrap();
    assert_eq!(journal.status().await.unwrap().unwritten, 0);
}

#[tokio::test]
async fn a_key_freed_under_an_attempt_is_dialled_again() {
    let folder = Folder::new();
    let journal = folder.open();
    let call = fenced("dead", at(1_000_000_000));
    for number in 1..4 {
        assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number });
        journal.begin(&call, number).await.unwrap();
        journal.settle(&call.key, Class::Unsent, None).unwrap();
    }
    assert_eq!(journal.status().await.unwrap().free, 1);
}

#[tokio::test]
async fn a_closed_journal_takes_nothing_and_its_file_is_free() {
    let folder = Folder::new();
    let journal = folder.open();
    let call = intent("late");
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
    journal.begin(&call, 1).await.unwrap();
    journal.end(&call.key, 1, Class::Accepted, None).unwrap();
    journal.close().await;
    journal.close().await;
    assert_eq!(journal.claim(&call).await.unwrap_err().kind(), JournalErrorKind::Store);
    assert_eq!(journal.begin(&call, 2).await.unwrap_err().kind(), JournalErrorKind::Store);
    assert_eq!(journal.settle(&call.key, Class::Accepted, None).unwrap_err().kind(), JournalErrorKind::Store);
    let again = folder.open();
    assert_eq!(again.claim(&call).await.unwrap(), Claim::Settled(Class::Accepted, None));
    drop(journal);
}

#[derive(Debug, Clone)]
enum Step {
    /// Also for another call than the key's.
    Claim(u8, Detail),
    Begin(u8, Detail, u32),
    End(u8, u32, Class, Reply),
    Settle(u8, Class, Reply),
    List,
}

type Detail = &'static str;
type Reply = Option<&'static str>;

fn steps() -> impl Strategy<Value = Step> {
    let (key, number, class) = (0u8..3, 1u32..5, proptest::sample::select(Class::ALL.to_vec()));
    let detail = proptest::sample::select(vec!["call", "call", "call", "other"]);
    let reply = proptest::sample::select(vec![None, Some(""), Some("reply"), Some("other reply")]);
    prop_oneof![
        4 => (key.clone(), detail.clone()).prop_map(|(k, d)| Step::Claim(k, d)),
        4 => (key.clone(), detail, number.clone()).prop_map(|(k, d, n)| Step::Begin(k, d, n)),
        4 => (key.clone(), number, class.clone(), reply.clone()).prop_map(|(k, n, c, r)| Step::End(k, n, c, r)),
        2 => (key, class, reply).prop_map(|(k, c, r)| Step::Settle(k, c, r)),
        1 => Just(Step::List),
    ]
}

/// What a journal answers to a step, as text.
async fn answer(journal: &dyn AttemptJournal, step: &Step) -> String {
    let name = |key: &u8| format!("key-{key}");
    let call = |key, detail: &Detail| {
        Arc::new(Intent { detail: (*detail).into(), ..Intent::clone(&intent(&name(key))) })
    };
    let bytes = |reply: &Reply| reply.map(Bytes::from);
    match step {
        Step::Claim(key, detail) => format!("{:?}", journal.claim(&call(key, detail)).await),
        Step::Begin(key, detail, number) => {
            let begun = journal.begin(&call(key, detail), *number).await;
            format!("{:?}", begun.map_err(|error| error.kind()))
        }
        Step::End(key, number, class, reply) => {
            let ended = journal.end(&name(key).parse().unwrap(), *number, *class, bytes(reply));
            format!("{:?}", ended.map_err(|error| error.kind()))
        }
        Step::Settle(key, class, reply) => {
            let settled = journal.settle(&name(key).parse().unwrap(), *class, bytes(reply));
            format!("{:?}", settled.map_err(|error| error.kind()))
        }
        // The memory's list has claims without attempts too.
        Step::List => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_answers_as_the_memory_does(steps in proptest::collection::vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let journal = folder.open();
            let memory = MemoryJournal::new(Arc::new(SystemClock::new()));
            let mut known = [false; 3];
            for step in steps {
                match &step {
                    Step::Claim(key, _) => known[usize::from(*key)] = true,
                    // About a key that it never saw the file's journal knows no better than to ask the file.
                    Step::Settle(key, ..) if !known[usize::from(*key)] => continue,
                    Step::List => {
                        let open = journal.open_calls(at(5_000_000_000), None, 10).await.unwrap();
                        let all = memory.open_calls(at(5_000_000_000), None, 10).await.unwrap();
                        prop_assert!(open.iter().all(|intent| all.contains(intent)));
                    }
                    _ => {}
                }
                prop_assert_eq!(answer(&journal, &step).await, answer(&memory, &step).await, "{:?}", step);
            }
            journal.integrity_check().await.unwrap();
            let status = journal.status().await.unwrap();
            prop_assert_eq!((status.unwritten, status.refused_proofs), (0, 0));
            Ok(())
        })?;
    }
}

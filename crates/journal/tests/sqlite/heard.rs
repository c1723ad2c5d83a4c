//! What is heard of calls, in the file.

use std::task::{Context, Waker};
use std::time::Duration;

use serde_json::Value;
use trunkline_core_types::{
    AttemptJournal, Call, CallEvent, CallJournal, CallRef, Claim, Class, Clock, Timestamp,
};
use trunkline_journal::{SqliteJournal, SqliteSettings};

use crate::support::{Folder, Hand, intent, place};

fn call(id: usize) -> CallRef {
    format!("main/call_{id}").parse().unwrap()
}

fn event(name: &str, second: u64, word: &str, call: usize) -> CallEvent {
    let at = Hand::new().wall() + Duration::from_secs(second);
    let call = Call::new(format!("call_{call}").parse().unwrap(), word.parse().unwrap());
    CallEvent::new(name.parse().unwrap(), Timestamp::try_from(at).unwrap(), call)
}

fn exported(folder: &Folder) -> Vec<Value> {
    let mut out = Vec::new();
    SqliteJournal::read_only(folder.file()).unwrap().export(&mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_export_names_the_call_and_its_status() {
    let folder = Folder::new();
    let journal = folder.open();
    for key in ["replied", "heard", "silent"] {
        place(&journal, key, Class::Accepted).await;
    }
    let main = "main".parse().unwrap();
    journal.placed(&intent("replied").key, &main, &event("e", 0, "queued", 1).call);
    journal.placed(&intent("never-claimed").key, &main, &event("e", 0, "queued", 9).call);
    let mut ringing = event("e1", 1, "ringing", 2);
    ringing.key = Some(intent("heard").key.clone());
    journal.hear(&call(2), &ringing).await.unwrap();
    journal.flush().await.unwrap();
    let shown = |line: &Value| (line["call"].clone(), line["status"].clone());
    let lines = exported(&folder);
    assert_eq!(shown(&lines[0]), ("call_1".into(), "queued".into()));
    assert_eq!(shown(&lines[1]), ("call_2".into(), "ringing".into()));
    assert_eq!(shown(&lines[2]), (Value::Null, Value::Null));
    // An event outranks what the reply said.
    journal.hear(&call(1), &event("e2", 2, "completed", 1)).await.unwrap();
    assert_eq!(shown(&exported(&folder)[0]), ("call_1".into(), "completed".into()));
    let states = SqliteJournal::read_only(folder.file()).unwrap().call_states().unwrap();
    assert_eq!(states, [("completed".into(), 1), ("ringing".into(), 1), ("unknown".into(), 1)]);
}

#[tokio::test]
async fn a_call_keeps_a_bounded_number_of_events_and_its_state() {
    let folder = Folder::new();
    let journal = folder.open();
    let end = event("end", 5, "completed", 1);
    journal.hear(&call(1), &end).await.unwrap();
    for n in 0..200 {
        journal.hear(&call(1), &event(&format!("e{n}"), n, "ringing", 1)).await.unwrap();
    }
    let heard = journal.hear(&call(1), &end).await.unwrap();
    assert!(heard.duplicate && heard.state.is_over(), "what the state rests on stays");
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    let kept: u32 = conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 64);
}

#[tokio::test]
async fn what_was_heard_goes_after_the_retention() {
    let folder = Folder::new();
    let (clock, hour) = (Hand::new(), Duration::from_secs(3_600));
    let settings = SqliteSettings { retention: hour, ..SqliteSettings::new(clock.clone()) };
    let journal = SqliteJournal::open(folder.file(), settings).unwrap();
    for id in 0..510 {
        journal.hear(&call(id), &event("e", 1, "queued", id)).await.unwrap();
    }
    clock.forward(hour / 2);
    journal.hear(&call(7), &event("later", 2, "ringing", 7)).await.unwrap();
    clock.forward(hour / 2 + Duration::from_secs(1));
    let conn = rusqlite::Connection::open(folder.file()).unwrap();
    let count =
        |table| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0));
    // The writer may sweep by itself between two looks, never more than a batch at once.
    let mut before = 510;
    while before > 1 {
        journal.sweep().await.unwrap();
        let now = count("heard_calls").unwrap();
        assert!(now < before, "{now} of {before}");
        before = now;
    }
    assert_eq!(count("events").unwrap(), 2, "they go with their call");
    assert!(
        journal.state(&call(7)).await.unwrap().is_some() && journal.state(&call(8)).await.unwrap().is_none()
    );
    journal.integrity_check().await.unwrap();
}

#[tokio::test]
async fn an_event_whose_proof_is_stuck_has_to_come_again() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "unknown", Class::Ambiguous).await;
    journal.flush().await.unwrap();
    let conn = folder.stuck();
    let mut end = event("e1", 1, "completed", 1);
    end.key = Some(intent("unknown").key.clone());
    // The second time the proof is nothing new.
    for _ in 0..2 {
        journal.settle(&intent("unknown").key, Class::Accepted, None).unwrap();
        let refused = journal.hear(&call(1), &end).await.unwrap_err();
        assert!(refused.to_string().contains("again"), "{refused}");
    }
    let other = journal.hear(&call(2), &event("e2", 1, "ringing", 2)).await.unwrap();
    assert!(!other.duplicate);
    conn.execute_batch("DROP TRIGGER stuck").unwrap();
    journal.flush().await.unwrap();
    assert!(!journal.hear(&call(1), &end).await.unwrap().duplicate);
    assert_eq!(journal.status().await.unwrap().accepted, 1);
}

/// A callback whose caller did not wait for the disk is sent again, and has to be acted upon then.
#[tokio::test]
async fn an_event_of_which_nobody_saw_the_answer_is_new_when_it_comes_again() {
    let folder = Folder::new();
    let journal = folder.open();
    for is_answered in [false, true] {
        let mut unseen = 0;
        for n in 0..32 {
            let event = event(&format!("{is_answered}-{n}"), 1, "ringing", 1);
            let call = call(1);
            let mut first = journal.hear(&call, &event);
            let is_unseen = first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
            if is_answered {
                journal.flush().await.unwrap();
            }
            drop(first);
            unseen += u32::from(is_unseen);
            let again = journal.hear(&call, &event).await.unwrap();
            assert_eq!(again.duplicate, !is_unseen, "{is_answered} {n}");
            assert!(journal.hear(&call, &event).await.unwrap().duplicate);
        }
        assert!(unseen > 0);
    }
}

#[tokio::test]
async fn a_call_is_its_key_s_before_the_file_can_take_it() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "unknown", Class::Ambiguous).await;
    journal.flush().await.unwrap();
    let conn = folder.stuck();
    let key = &intent("unknown").key;
    journal.settle(key, Class::Accepted, None).unwrap();
    journal.placed(key, &"main".parse().unwrap(), &event("e", 0, "queued", 1).call);
    journal.flush().await.unwrap();
    let in_file = || {
        let sql = "SELECT count(*) FROM calls WHERE call = 'call_1'";
        conn.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!(in_file(), 0);
    assert_eq!(journal.key_of(&call(1)).await.unwrap().as_ref(), Some(key));
    assert_eq!(journal.key_of(&"backup/call_1".parse().unwrap()).await.unwrap(), None);
    conn.execute_batch("DROP TRIGGER stuck").unwrap();
    journal.close().await;
    assert_eq!(in_file(), 1);
    assert_eq!(folder.open().key_of(&call(1)).await.unwrap().as_ref(), Some(key));
}

/// What was said of a key cannot be judged while the file does not give its row.
#[tokio::test]
async fn a_proof_whose_row_cannot_be_read_is_not_lost() {
    let folder = Folder::new();
    let journal = folder.open();
    place(&journal, "unknown", Class::Ambiguous).await;
    drop(journal);
    let (journal, conn) = (folder.open(), rusqlite::Connection::open(folder.file()).unwrap());
    let account = |name| conn.execute("UPDATE calls SET account = ?1", [name]).unwrap();
    account("");
    journal.settle(&intent("unknown").key, Class::Accepted, None).unwrap();
    journal.claim(&intent("unknown")).await.unwrap_err();
    let mut ringing = event("e1", 1, "ringing", 1);
    ringing.key = Some(intent("unknown").key.clone());
    journal.hear(&call(1), &ringing).await.unwrap_err();
    let status = journal.status().await.unwrap();
    assert_eq!((status.unwritten, status.refused_proofs, status.open), (1, 0, 1));
    account("main");
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Settled(Class::Accepted, None));
    let status = journal.status().await.unwrap();
    assert_eq!((status.unwritten, status.refused_proofs, status.accepted), (0, 0, 1));
    assert!(!journal.hear(&call(1), &ringing).await.unwrap().duplicate);
}

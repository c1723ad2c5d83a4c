//! Rows about what is heard of calls. A store whose `calls` is `None` leaves it out and passes them.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{
    AttemptJournal, Call, CallEvent, CallJournal, CallRef, CallState, CallStatus, Class, Currency, Money,
    Timestamp,
};

use super::{Key, ok, past, same, settled};

/// One event a word of a call's life, a second apart, the end with its price and duration.
fn life(row: &str) -> Vec<CallEvent> {
    let event = |(second, word): (u64, &str)| {
        let at: Timestamp = ok(row, (past() + Duration::from_secs(second)).try_into());
        let mut call = Call::new(ok(row, "call_1".parse()), ok(row, word.parse()));
        if call.status.is_final() {
            call.cost = Some(ok(row, Money::parse("0.0150", Currency::USD)));
            (call.duration, call.ended) = (Some(Duration::from_millis(12_500)), Some(at));
        }
        CallEvent::new(ok(row, format!("evt_{word}").parse()), at, call)
    };
    (0..).zip(["queued", "ringing", "on_hold", "answered", "completed", "failed"]).map(event).collect()
}

fn call(row: &str, name: &str) -> CallRef {
    ok(row, name.parse())
}

fn folded(events: &[CallEvent]) -> CallState {
    let mut state = CallState::new();
    for event in events {
        state.fold(event);
    }
    state
}

/// An event that comes again changes nothing and is said to; the same id of another account or another call is another event.
///
/// # Panics
/// If the journal breaks the row.
pub async fn an_event_is_heard_once(journal: &dyn AttemptJournal) {
    let row = "an_event_is_heard_once";
    let Some(calls) = journal.calls() else { return };
    let life = life(row);
    same(row, ok(row, calls.state(&call(row, "a/call_1")).await), None);
    for name in ["a/call_1", "b/call_1", "a/call_2"] {
        for (n, duplicate) in [(1, false), (1, true), (3, false), (1, true), (3, true)] {
            let heard = ok(row, calls.hear(&call(row, name), &life[n]).await);
            same(row, heard.duplicate, duplicate);
        }
        let state = ok(row, calls.state(&call(row, name)).await);
        same(row, state, Some(folded(&[life[1].clone(), life[3].clone()])));
    }
}

/// Forwards, backwards and twice, the state is the fold of the events, with price, duration and end.
///
/// # Panics
/// If the journal breaks the row.
pub async fn any_order_of_events_gives_the_same_state(journal: &dyn AttemptJournal) {
    let row = "any_order_of_events_gives_the_same_state";
    let Some(calls) = journal.calls() else { return };
    let mut life = life(row);
    let want = folded(&life);
    same(row, want.status(), Some(&CallStatus::Completed));
    for turn in 0..life.len() * 2 {
        if turn == life.len() {
            life.reverse();
        }
        life.rotate_left(1);
        let call = call(row, &format!("main/call_{turn}"));
        for (n, event) in life.iter().enumerate() {
            let heard = ok(row, calls.hear(&call, event).await);
            same(row, heard.state, folded(&life[..=n]));
            ok(row, calls.hear(&call, &life[0]).await);
        }
        same(row, ok(row, calls.state(&call).await), Some(want.clone()));
    }
}

/// State and ids survive the process: a repeat is a repeat, and an older event does not lower the state.
///
/// # Panics
/// If the journal breaks the row.
pub async fn what_was_heard_outlives_the_process(open: &impl Fn() -> Arc<dyn AttemptJournal>) {
    let row = "what_was_heard_outlives_the_process";
    let (life, call) = (life(row), call(row, "main/call_1"));
    {
        let journal = open();
        let Some(calls) = journal.calls() else { return };
        ok(row, calls.hear(&call, &life[4]).await);
    }
    let journal = open();
    let Some(calls) = journal.calls() else { return };
    same(row, ok(row, calls.state(&call).await), Some(folded(&life[4..5])));
    same(row, ok(row, calls.hear(&call, &life[4]).await).duplicate, true);
    let heard = ok(row, calls.hear(&call, &life[1]).await);
    same(row, (heard.duplicate, heard.state.status().cloned()), (false, Some(CallStatus::Completed)));
}

async fn key_is(row: &str, calls: &dyn CallJournal, name: &str, want: Option<&str>) {
    let key = ok(row, calls.key_of(&call(row, name)).await);
    same(row, key.as_ref().map(|key| key.as_str()), want);
}

/// A call without a key on it is the key's of which a reply or a reconcile told, in that account only; an event's word counts more.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_call_has_the_key_that_was_told(journal: &dyn AttemptJournal) {
    let row = "a_call_has_the_key_that_was_told";
    let Some(calls) = journal.calls() else { return };
    let shown = |id: &str| Call::new(ok(row, id.parse()), CallStatus::Queued);
    key_is(row, calls, "main/call_1", None).await;
    for (name, id) in [("first", "call_1"), ("second", "call_2")] {
        let key = Key::new(row, journal, name);
        key.tried(Class::Accepted, None).await;
        calls.placed(&key.intent.key, &key.intent.account, &shown(id));
    }
    // A reconcile's find: of a key whose reply was lost.
    let lost = Key::new(row, journal, "lost");
    lost.tried(Class::Ambiguous, None).await;
    lost.settle(Class::Ambiguous, None);
    lost.settle(Class::Accepted, Some("proof"));
    calls.placed(&lost.intent.key, &lost.intent.account, &shown("call_3"));
    lost.claims(settled(Class::Accepted, Some("proof"))).await;
    for (name, key) in [("call_1", "first"), ("call_2", "second"), ("call_3", "lost")] {
        key_is(row, calls, &format!("main/{name}"), Some(key)).await;
        key_is(row, calls, &format!("backup/{name}"), None).await;
        same(row, ok(row, calls.state(&call(row, &format!("main/{name}"))).await), None);
    }
    let mut event = life(row).swap_remove(0);
    for name in ["main/call_1", "main/call_4"] {
        ok(row, calls.hear(&call(row, name), &event).await);
    }
    key_is(row, calls, "main/call_1", Some("first")).await;
    key_is(row, calls, "main/call_4", None).await;
    (event.id, event.key) = (ok(row, "evt_keyed".parse()), Some(ok(row, "heard".parse())));
    for name in ["main/call_1", "main/call_4"] {
        ok(row, calls.hear(&call(row, name), &event).await);
        key_is(row, calls, name, Some("heard")).await;
    }
}

/// Whose a call is survives the process, and the next one can note it of a key that it never claimed.
///
/// # Panics
/// If the journal breaks the row.
pub async fn whose_a_call_is_outlives_the_process(open: &impl Fn() -> Arc<dyn AttemptJournal>) {
    let row = "whose_a_call_is_outlives_the_process";
    let shown = |id: &str| Call::new(ok(row, id.parse()), CallStatus::Queued);
    {
        let journal = open();
        let Some(calls) = journal.calls() else { return };
        let key = Key::new(row, &*journal, "replied");
        key.tried(Class::Accepted, None).await;
        calls.placed(&key.intent.key, &key.intent.account, &shown("call_1"));
        Key::new(row, &*journal, "lost").tried(Class::Ambiguous, None).await;
        let mut event = life(row).swap_remove(1);
        event.key = Some(ok(row, "heard".parse()));
        ok(row, calls.hear(&call(row, "main/call_3"), &event).await);
    }
    {
        let journal = open();
        let Some(calls) = journal.calls() else { return };
        let key = Key::new(row, &*journal, "lost");
        key.settle(Class::Accepted, None);
        calls.placed(&key.intent.key, &key.intent.account, &shown("call_2"));
        key_is(row, calls, "main/call_2", Some("lost")).await;
    }
    let journal = open();
    let Some(calls) = journal.calls() else { return };
    for (name, key) in [("call_1", Some("replied")), ("call_2", Some("lost")), ("call_3", Some("heard"))] {
        key_is(row, calls, &format!("main/{name}"), key).await;
    }
    Key::new(row, &*journal, "lost").claims(settled(Class::Accepted, None)).await;
    key_is(row, calls, "main/call_4", None).await;
}

//! Rows about what the next process finds.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{AttemptJournal, Claim, Class};

use super::{ANSWERS, FIRST, FREEING, Key, future, ok, past, same, settled};

/// Opens the same place again.
type Open<'a> = &'a dyn Fn() -> Arc<dyn AttemptJournal>;

/// A claim whose process ended before any attempt is free, for the same call.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_claim_without_attempts_is_free_again(open: Open<'_>) {
    let row = "a claim without attempts is free again";
    for _ in 0..3 {
        let journal = open();
        Key::new(row, &*journal, "claimed").claims(FIRST).await;
    }
    let journal = open();
    same(row, ok(row, journal.open_calls(future(), None, 10).await).len(), 0);
    let key = Key::new(row, &*journal, "claimed");
    key.tried(Class::Accepted, None).await;
    key.claims(settled(Class::Accepted, None)).await;
}

/// What had an attempt and no answer is open, in flight or not, and is listed; nothing more begins under it.
///
/// # Panics
/// If the journal breaks the row.
pub async fn what_was_begun_is_open(open: Open<'_>) {
    let row = "what was begun is open";
    let journal = open();
    for name in ["flying", "tried", "tried-twice", "unknown"] {
        let key = Key::new(row, &*journal, name).fenced(past());
        key.claims(FIRST).await;
        key.begin(1).await;
        match name {
            "tried" => key.end(1, Class::Unsent, None),
            "tried-twice" => {
                key.end(1, Class::Deferred, None);
                key.with("backup", "detail", past()).begin(2).await;
            }
            "unknown" => {
                key.end(1, Class::Ambiguous, None);
                key.settle(Class::Ambiguous, None);
            }
            _ => {}
        }
    }
    drop(journal);

    for _ in 0..2 {
        let journal = open();
        let now = past() + Duration::from_secs(3_600);
        let listed = ok(row, journal.open_calls(now, None, 10).await);
        let names: Vec<_> = listed.iter().map(|intent| intent.key.as_str()).collect();
        same(row, names, vec!["flying", "tried", "tried-twice", "unknown"]);
        same(row, listed[2].account.as_str(), "backup");
        for intent in &listed {
            let key = Key::new(row, &*journal, intent.key.as_str());
            key.begin_refused(9).await;
            key.claims(Claim::Open).await;
            key.begin_refused(9).await;
            key.with("main", "another detail", future()).claims(Claim::Mismatch).await;
        }
    }
}

/// A proof ends what the process before left open; before the fence of an attempt in flight only acceptance is one.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_proof_settles_what_was_left(open: Open<'_>) {
    let row = "a proof settles what was left";
    let name = |i: usize, kind: &str| format!("{kind}-{i}");
    let journal = open();
    for (i, _) in Class::ALL.into_iter().enumerate() {
        let left = Key::new(row, &*journal, &name(i, "left"));
        left.tried(Class::Ambiguous, None).await;
        let dead = Key::new(row, &*journal, &name(i, "dead")).fenced(past());
        dead.claims(FIRST).await;
        dead.begin(1).await;
        let early = Key::new(row, &*journal, &name(i, "early"));
        early.claims(FIRST).await;
        early.begin(1).await;
    }
    drop(journal);

    let journal = open();
    for (i, proof) in Class::ALL.into_iter().enumerate() {
        let after = match proof {
            Class::Ambiguous => continue,
            answer if ANSWERS.contains(&answer) => settled(answer, Some("proof")),
            _ => Claim::Go { number: 2 },
        };
        for kind in ["left", "dead"] {
            let key = Key::new(row, &*journal, &name(i, kind));
            key.settle(proof, Some("proof"));
            key.claims(after.clone()).await;
        }
        let early = Key::new(row, &*journal, &name(i, "early"));
        // A store may tell at once that this is too early, or find it out when it writes.
        drop(journal.settle(&early.intent.key, proof, None));
        let still = if proof == Class::Accepted { settled(proof, None) } else { Claim::Open };
        early.claims(still).await;
    }
}

/// An answer, its reply and its detail stay for ever, whatever comes after them.
///
/// # Panics
/// If the journal breaks the row.
pub async fn answers_outlive_the_process(open: Open<'_>) {
    let row = "answers outlive the process";
    let journal = open();
    for (i, class) in ANSWERS.into_iter().enumerate() {
        let key = Key::new(row, &*journal, &format!("answered-{i}"));
        key.tried(class, (i == 0).then_some("reply")).await;
    }
    drop(journal);

    for round in 0..3 {
        let journal = open();
        for (i, class) in ANSWERS.into_iter().enumerate() {
            let key = Key::new(row, &*journal, &format!("answered-{i}"));
            if round == 1 {
                key.settle(class, Some("later"));
                for other in Class::ALL.into_iter().filter(|other| *other != class) {
                    drop(journal.settle(&key.intent.key, other, Some("other".into())));
                }
            }
            let reply = if i == 0 { Some("reply") } else { (round > 0).then_some("later") };
            key.claims(settled(class, reply)).await;
            key.begin_refused(2).await;
            key.with("main", "another detail", future()).claims(Claim::Mismatch).await;
        }
    }
}

/// A freed key stays free and its numbers go on; a proof of acceptance still settles it.
///
/// # Panics
/// If the journal breaks the row.
pub async fn numbers_go_on(open: Open<'_>) {
    let row = "numbers go on";
    for (number, class) in (1..).zip(FREEING) {
        let journal = open();
        let key = Key::new(row, &*journal, "freed");
        key.claims(Claim::Go { number }).await;
        key.begin_refused(number - 1).await;
        key.begin(number).await;
        key.end(number, class, None);
        key.settle(class, None);
    }
    let journal = open();
    let key = Key::new(row, &*journal, "freed");
    key.with("main", "another detail", future()).claims(Claim::Mismatch).await;
    key.begin_refused(4).await;
    key.settle(Class::Accepted, Some("proof"));
    drop(journal);
    let journal = open();
    Key::new(row, &*journal, "freed").claims(settled(Class::Accepted, Some("proof"))).await;
}

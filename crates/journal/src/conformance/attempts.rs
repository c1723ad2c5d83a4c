//! Rows about the attempts of a claim.

use trunkline_core_types::{AttemptJournal, Claim, Class, Scope};

use super::{ANSWERS, FIRST, FREEING, Key, settled};

/// Nothing begins or ends under a key that nobody holds.
///
/// # Panics
/// If the journal breaks the row.
pub async fn begin_needs_a_claim(journal: &dyn AttemptJournal) {
    let key = Key::new("begin needs a claim", journal, "unclaimed");
    key.begin_refused(1).await;
    key.end_refused(1, Class::Accepted);
    key.settle_refused(Class::Ambiguous);
    key.claims(FIRST).await;
    key.end_refused(1, Class::Accepted);
    key.settle(Class::Unsent, None);
    key.begin_refused(1).await;
}

/// Attempts are numbered upwards under one key, through failed attempts, failover and later claims.
///
/// # Panics
/// If the journal breaks the row.
pub async fn numbers_only_go_up(journal: &dyn AttemptJournal) {
    let key = Key::new("numbers only go up", journal, "numbered");
    let elsewhere = key.with("backup", "detail", super::future());
    key.tried(Class::Rejected(Scope::Account), None).await;
    elsewhere.begin_refused(1).await;
    elsewhere.begin(4).await;
    key.end(4, Class::Deferred, None);
    key.begin_refused(4).await;
    key.begin_refused(3).await;
    key.begin(5).await;
    key.end(5, Class::Unsent, None);
    key.settle(Class::Unsent, None);
    key.claims(Claim::Go { number: 6 }).await;
    key.begin_refused(5).await;
    key.begin(6).await;
}

/// While an attempt runs no other begins; after its end one may, also after an unknown outcome in the same claim (under an idempotency
/// key, which the layers above check), but not once the claimer left the call ambiguous.
///
/// # Panics
/// If the journal breaks the row.
pub async fn one_attempt_in_flight(journal: &dyn AttemptJournal) {
    let key = Key::new("one attempt in flight", journal, "flying");
    key.claims(FIRST).await;
    key.begin(1).await;
    key.begin_refused(1).await;
    key.begin_refused(2).await;
    key.end(1, Class::Ambiguous, None);
    key.begin(2).await;
    key.begin_refused(3).await;
    key.end(2, Class::Rejected(Scope::Call), None);
    // A refusal of the repeat proves nothing about the first attempt.
    key.claims(Claim::Open).await;
    key.begin(3).await;
    key.end(3, Class::Ambiguous, None);
    key.settle(Class::Ambiguous, None);
    key.begin_refused(4).await;
    key.claims(Claim::Open).await;

    // Better knowledge of the first attempt does not end the call under the second.
    let key = Key::new("one attempt in flight", journal, "flying-on");
    key.tried(Class::Ambiguous, None).await;
    key.begin(2).await;
    key.end(1, Class::Rejected(Scope::Call), None);
    key.claims(Claim::Open).await;
    key.end(2, Class::Accepted, Some("reply"));
    key.claims(settled(Class::Accepted, Some("reply"))).await;
}

/// Once a key has its answer nothing begins under it.
///
/// # Panics
/// If the journal breaks the row.
pub async fn after_an_answer_nothing_begins(journal: &dyn AttemptJournal) {
    for (i, class) in ANSWERS.into_iter().enumerate() {
        let key = Key::new("after an answer nothing begins", journal, &format!("answered-{i}"));
        key.tried(class, None).await;
        key.begin_refused(2).await;
        key.settle(class, None);
        key.begin_refused(2).await;
    }
}

/// The same end twice changes nothing, another end is refused; only an unknown outcome gives way to better knowledge.
///
/// # Panics
/// If the journal breaks the row.
pub async fn end_keeps_the_first_verdict(journal: &dyn AttemptJournal) {
    let row = "end keeps the first verdict";
    for (i, first) in Class::ALL.into_iter().enumerate() {
        for (j, second) in Class::ALL.into_iter().enumerate() {
            let key = Key::new(row, journal, &format!("ended-{i}-{j}"));
            key.tried(first, Some("first")).await;
            if first == second || first == Class::Ambiguous {
                key.end(1, second, Some("second"));
            } else {
                key.end_refused(1, second);
            }
            key.end_refused(2, second);
            let known = if first == Class::Ambiguous { second } else { first };
            let reply = if first == Class::Ambiguous { "second" } else { "first" };
            let want = if ANSWERS.contains(&known) { settled(known, Some(reply)) } else { Claim::Open };
            key.claims(want).await;
            if FREEING.contains(&known) {
                key.settle(known, None);
                key.claims(Claim::Go { number: 2 }).await;
            }
        }
    }
}

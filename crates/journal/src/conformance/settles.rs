//! Rows about the end of a call.

use trunkline_core_types::{AttemptJournal, Claim, Class, Scope};

use super::{ANSWERS, FIRST, FREEING, Key, future, past, settled};

/// `Accepted` and `Rejected(Call)` are a key's answer for ever, from the end of the attempt on; the first reply is given back.
///
/// # Panics
/// If the journal breaks the row.
pub async fn accepted_and_rejected_settle_for_ever(journal: &dyn AttemptJournal) {
    let row = "accepted and rejected settle for ever";
    for (i, class) in ANSWERS.into_iter().enumerate() {
        let key = Key::new(row, journal, &format!("ended-{i}"));
        key.tried(class, Some("reply")).await;
        key.claims(settled(class, Some("reply"))).await;
        key.settle(class, Some("a later reply"));
        key.claims(settled(class, Some("reply"))).await;

        // A proof of refusal came first; an attempt that contradicts it is refused, for the answer stays.
        let proven = Key::new(row, journal, &format!("proven-{i}"));
        proven.tried(Class::Ambiguous, None).await;
        proven.settle(class, Some("proof"));
        if class != Class::Accepted {
            proven.end_refused(1, Class::Accepted);
        }
        proven.claims(settled(class, Some("proof"))).await;

        let unread = Key::new(row, journal, &format!("unread-{i}"));
        unread.tried(class, None).await;
        unread.claims(settled(class, None)).await;
        unread.settle(class, Some("reply"));
        unread.claims(settled(class, Some("reply"))).await;

        for other in Class::ALL.into_iter().filter(|other| *other != class) {
            key.settle_refused(other);
        }
        key.claims(settled(class, Some("reply"))).await;
    }
}

/// `Unsent`, `Deferred` and `Rejected(Account)` stay with the claimer until he settles the call, which frees the key; a proof of
/// acceptance that comes after that still settles it.
///
/// # Panics
/// If the journal breaks the row.
pub async fn what_did_not_act_frees_the_key(journal: &dyn AttemptJournal) {
    for (i, class) in FREEING.into_iter().enumerate() {
        let key = Key::new("what did not act frees the key", journal, &format!("freed-{i}"));
        key.tried(class, Some("refusal")).await;
        key.claims(Claim::Open).await;
        key.settle(class, Some("refusal"));
        key.settle(class, Some("refusal"));
        key.claims(Claim::Go { number: 2 }).await;
        key.claims(Claim::Open).await;
        key.begin(2).await;
        key.end(2, class, None);
        key.settle(class, None);
        key.settle(Class::Accepted, Some("proof"));
        key.claims(settled(Class::Accepted, Some("proof"))).await;
    }
}

/// `Ambiguous` keeps the key open, whatever came after it, until a proof ends it: either way.
///
/// # Panics
/// If the journal breaks the row.
pub async fn ambiguous_stays_open_until_proof(journal: &dyn AttemptJournal) {
    let row = "ambiguous stays open until proof";
    for (i, proof) in Class::ALL.into_iter().enumerate() {
        let key = Key::new(row, journal, &format!("unknown-{i}"));
        key.tried(Class::Ambiguous, None).await;
        key.claims(Claim::Open).await;
        key.settle(Class::Ambiguous, None);
        key.settle(Class::Ambiguous, None);
        key.claims(Claim::Open).await;
        key.settle(proof, Some("proof"));
        key.claims(match proof {
            Class::Ambiguous => Claim::Open,
            answer if ANSWERS.contains(&answer) => settled(answer, Some("proof")),
            _ => Claim::Go { number: 2 },
        })
        .await;
    }
}

/// While an attempt is in flight and its fence has not passed only a proof of acceptance settles; its own end may follow. After the
/// fence (its process died) any proof does.
///
/// # Panics
/// If the journal breaks the row.
pub async fn nothing_is_freed_under_an_attempt_in_flight(journal: &dyn AttemptJournal) {
    let row = "nothing is freed under an attempt in flight";
    for (i, proof) in Class::ALL.into_iter().enumerate() {
        let live = Key::new(row, journal, &format!("live-{i}")).fenced(future());
        live.claims(FIRST).await;
        live.begin(1).await;
        match proof {
            Class::Accepted => {
                live.settle(proof, Some("proof"));
                live.end(1, Class::Ambiguous, None);
                live.claims(settled(proof, Some("proof"))).await;
            }
            Class::Ambiguous => {
                live.settle(proof, None);
                live.claims(Claim::Open).await;
            }
            _ => {
                live.settle_refused(proof);
                live.claims(Claim::Open).await;
            }
        }

        let dead = Key::new(row, journal, &format!("dead-{i}")).fenced(past());
        dead.claims(FIRST).await;
        dead.begin(1).await;
        dead.settle(proof, Some("proof"));
        dead.claims(match proof {
            Class::Ambiguous => Claim::Open,
            answer if ANSWERS.contains(&answer) => settled(answer, Some("proof")),
            _ => Claim::Go { number: 2 },
        })
        .await;
    }
}

/// A claimer who was away while others freed and claimed his key ends nothing of theirs; that somebody was rung, or may have been, he
/// may still say.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_claimer_ends_his_own_claim_only(journal: &dyn AttemptJournal) {
    let row = "a claimer ends his own claim only";
    for (i, begins) in [true, false].into_iter().enumerate() {
        let key = Key::new(row, journal, &format!("away-{i}"));
        key.claims(FIRST).await;
        if begins {
            key.begin(1).await;
            key.end(1, Class::Deferred, None);
        }
        key.settle(Class::Unsent, None);
        key.claims(Claim::Go { number: 2 }).await;
        for class in FREEING.into_iter().chain([Class::Rejected(Scope::Call)]) {
            key.settle_claim_refused(1, class);
            key.claims(Claim::Open).await;
        }
        key.begin(2).await;
        key.end(2, Class::Ambiguous, None);
        key.settle_claim(2, Class::Ambiguous);
        for (number, class) in [1, 2].into_iter().flat_map(|number| FREEING.map(|class| (number, class))) {
            key.settle_claim_refused(number, class);
            key.claims(Claim::Open).await;
        }
        key.settle_claim(1, Class::Accepted);
        key.claims(settled(Class::Accepted, None)).await;
    }
}

/// A claimer cannot free his key over an attempt whose outcome is noted as unknown, whoever made it.
///
/// # Panics
/// If the journal breaks the row.
pub async fn no_claimer_frees_over_an_unknown_outcome(journal: &dyn AttemptJournal) {
    for (i, class) in FREEING.into_iter().enumerate() {
        let key = Key::new("no claimer frees over an unknown outcome", journal, &format!("unknown-{i}"));
        key.tried(Class::Ambiguous, None).await;
        key.settle_claim_refused(1, class);
        key.claims(Claim::Open).await;
        key.settle(class, None);
        key.claims(Claim::Go { number: 2 }).await;
    }
}

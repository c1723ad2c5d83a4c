//! Rows about claims.

use std::sync::Arc;

use trunkline_core_types::{AttemptJournal, Claim, Class};

use super::{FIRST, FREEING, Key, future, intent, ok, same, settled};

/// A free key is claimed; while it is held, between its attempts too, every other claim finds it open.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_second_claim_finds_it_open(journal: &dyn AttemptJournal) {
    let key = Key::new("a second claim finds it open", journal, "held");
    key.claims(FIRST).await;
    key.claims(Claim::Open).await;
    key.begin(1).await;
    key.claims(Claim::Open).await;
    key.end(1, Class::Deferred, None);
    key.claims(Claim::Open).await;
    Key::new(key.row, journal, "another").claims(FIRST).await;
}

/// A claim that is settled as not sent before any attempt leaves the key free, as does the claim after it. Each gets a number of its own.
///
/// # Panics
/// If the journal breaks the row.
pub async fn a_claim_without_attempts_is_freed(journal: &dyn AttemptJournal) {
    for (i, class) in FREEING.into_iter().enumerate() {
        let key = Key::new("a claim without attempts is freed", journal, &format!("unused-{i}"));
        for number in 1..4 {
            key.claims(Claim::Go { number }).await;
            key.settle_claim(number, class);
        }
        key.claims(Claim::Go { number: 4 }).await;
        key.begin(4).await;
    }
}

/// The same key with another detail is a mismatch in every state; another account or fence is not.
///
/// # Panics
/// If the journal breaks the row.
pub async fn another_call_is_a_mismatch(journal: &dyn AttemptJournal) {
    let key = Key::new("another call is a mismatch", journal, "taken");
    let other_call = key.with("main", "another detail", future());
    let other_account = key.with("backup", "detail", future());

    key.claims(FIRST).await;
    other_call.claims(Claim::Mismatch).await;
    other_account.claims(Claim::Open).await;
    other_call.begin_refused(1).await;

    key.begin(1).await;
    other_call.claims(Claim::Mismatch).await;
    other_account.claims(Claim::Open).await;

    key.end(1, Class::Unsent, None);
    key.settle(Class::Unsent, None);
    other_call.claims(Claim::Mismatch).await;
    other_account.claims(Claim::Go { number: 2 }).await;

    other_account.begin(2).await;
    key.end(2, Class::Ambiguous, None);
    key.settle(Class::Ambiguous, None);
    other_call.claims(Claim::Mismatch).await;

    key.settle(Class::Accepted, Some("proof"));
    other_call.claims(Claim::Mismatch).await;
    other_account.claims(settled(Class::Accepted, Some("proof"))).await;
}

/// Of `claims` claims of one key at once exactly one goes, and the others find it open.
///
/// # Panics
/// If the journal breaks the row, or outside a tokio runtime.
pub async fn one_of_many_claims_goes(journal: Arc<dyn AttemptJournal>, claims: usize) {
    let row = "one of many claims goes";
    let intent = intent(row, "wanted", "main", "detail", future());
    let claim = |_| {
        let (journal, intent) = (journal.clone(), intent.clone());
        tokio::spawn(async move { journal.claim(&intent).await })
    };
    let running: Vec<_> = (0..claims).map(claim).collect();
    let mut went = 0;
    for claim in running {
        match ok(row, ok(row, claim.await)) {
            Claim::Go { .. } => went += 1,
            other => same(row, other, Claim::Open),
        }
    }
    same(row, went, 1);
}

//! Rows about the list of open calls.

use std::time::{Duration, SystemTime};

use trunkline_core_types::{AttemptJournal, Claim, Class, IdempotencyKey};

use super::{Key, future, ok, past, same};

/// Open calls whose fence has passed are listed in the order of their keys, page by page and the same each time, with the account of
/// their latest attempt; a proof takes them off the list.
///
/// # Panics
/// If the journal breaks the row.
pub async fn open_calls_are_listed_in_pages(journal: &dyn AttemptJournal) {
    let row = "open calls are listed in pages";
    let now = past() + Duration::from_secs(3_600);
    // Claimed in another order than that of their keys.
    for i in [4, 0, 6, 2, 5, 1, 3] {
        let key = Key::new(row, journal, &format!("open-{i}")).fenced(past());
        key.tried(Class::Ambiguous, None).await;
        if i % 2 == 0 {
            key.settle(Class::Ambiguous, None);
        }
    }
    let unfenced = Key::new(row, journal, "open-3-later").fenced(future());
    unfenced.tried(Class::Ambiguous, None).await;
    let freed = Key::new(row, journal, "open-4-freed").fenced(past());
    freed.tried(Class::Unsent, None).await;
    freed.settle(Class::Unsent, None);
    Key::new(row, journal, "open-5-placed").fenced(past()).tried(Class::Accepted, None).await;

    let all: Vec<_> = (0..7).map(|i| format!("open-{i}")).collect();
    for limit in [1, 3, 7, 100] {
        same(row, pages(journal, row, now, limit).await, all.clone());
    }
    same(row, pages(journal, row, past(), 100).await, Vec::new());
    same(row, ok(row, journal.open_calls(now, None, 0).await).len(), 0);

    let placed = Key::new(row, journal, "open-2");
    placed.settle(Class::Accepted, None);
    let not_placed = Key::new(row, journal, "open-5").with("backup", "detail", past());
    not_placed.settle(Class::Unsent, None);
    same(
        row,
        pages(journal, row, now, 2).await,
        ["open-0", "open-1", "open-3", "open-4", "open-6"].map(String::from).to_vec(),
    );

    // The freed key comes back with the account and the fence of its new attempt.
    not_placed.claims(Claim::Go { number: 2 }).await;
    not_placed.begin(2).await;
    not_placed.end(2, Class::Ambiguous, None);
    let listed = ok(row, journal.open_calls(now, Some(&ok(row, "open-4".parse())), 1).await);
    same(row, listed, vec![not_placed.intent.clone()]);

    // Failover in one claim: the account of the attempt that is unknown, not of the claim.
    let claimed = Key::new(row, journal, "open-7").fenced(past());
    claimed.tried(Class::Unsent, None).await;
    let moved = claimed.with("backup", "detail", past());
    moved.begin(2).await;
    moved.end(2, Class::Ambiguous, None);
    let listed = ok(row, journal.open_calls(now, Some(&ok(row, "open-6".parse())), 1).await);
    same(row, listed, vec![moved.intent.clone()]);
}

async fn pages(journal: &dyn AttemptJournal, row: &str, now: SystemTime, limit: usize) -> Vec<String> {
    let (mut keys, mut after): (Vec<String>, Option<IdempotencyKey>) = (Vec::new(), None);
    loop {
        let page = ok(row, journal.open_calls(now, after.as_ref(), limit).await);
        assert!(
            page.len() <= limit && keys.len() <= 100,
            "{row}: a page is longer than its limit, or there is no end"
        );
        let Some(last) = page.last() else { return keys };
        after = Some(last.key.clone());
        keys.extend(page.iter().map(|intent| intent.key.as_str().to_owned()));
    }
}

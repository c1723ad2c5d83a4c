//! The suite that every [`AttemptJournal`] must pass: one function per row of the state table in the crate's README.
//!
//! [`all`] runs everything, each row over a fresh journal. A row that fails panics with its name. The rows use fences far in the past
//! and far in the future, so the store's clock may show any date between 2001 and 2096.
//!
//! ```
//! use std::sync::Arc;
//! use trunkline_core_types::SystemClock;
//! use trunkline_journal::{MemoryJournal, conformance};
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
//! # async fn main() {
//! conformance::all(|| Arc::new(MemoryJournal::new(Arc::new(SystemClock::new())))).await;
//! # }
//! ```

mod attempts;
mod calls;
mod claims;
mod listing;
mod restarts;
mod settles;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trunkline_core_types::{AttemptJournal, Claim, Class, Intent, JournalError, JournalErrorKind, Scope};

pub use attempts::{
    after_an_answer_nothing_begins, begin_needs_a_claim, end_keeps_the_first_verdict, numbers_only_go_up,
    one_attempt_in_flight,
};
pub use calls::{
    a_call_has_the_key_that_was_told, an_event_is_heard_once, any_order_of_events_gives_the_same_state,
    what_was_heard_outlives_the_process, whose_a_call_is_outlives_the_process,
};
pub use claims::{
    a_claim_without_attempts_is_freed, a_second_claim_finds_it_open, another_call_is_a_mismatch,
    one_of_many_claims_goes,
};
pub use listing::open_calls_are_listed_in_pages;
pub use restarts::{
    a_claim_without_attempts_is_free_again, a_proof_settles_what_was_left, answers_outlive_the_process,
    numbers_go_on, what_was_begun_is_open,
};
pub use settles::{
    a_claimer_ends_his_own_claim_only, accepted_and_rejected_settle_for_ever,
    ambiguous_stays_open_until_proof, no_claimer_frees_over_an_unknown_outcome,
    nothing_is_freed_under_an_attempt_in_flight, what_did_not_act_frees_the_key,
};

/// Runs every row, each over a journal of its own from `make`. Needs a tokio runtime, of several threads if the concurrent row is to
/// show anything.
///
/// # Panics
/// With the row's name, if the journal breaks it.
pub async fn all(make: impl Fn() -> Arc<dyn AttemptJournal>) {
    a_second_claim_finds_it_open(&*make()).await;
    a_claim_without_attempts_is_freed(&*make()).await;
    another_call_is_a_mismatch(&*make()).await;
    one_of_many_claims_goes(make(), 1_000).await;
    begin_needs_a_claim(&*make()).await;
    numbers_only_go_up(&*make()).await;
    one_attempt_in_flight(&*make()).await;
    after_an_answer_nothing_begins(&*make()).await;
    end_keeps_the_first_verdict(&*make()).await;
    accepted_and_rejected_settle_for_ever(&*make()).await;
    what_did_not_act_frees_the_key(&*make()).await;
    ambiguous_stays_open_until_proof(&*make()).await;
    nothing_is_freed_under_an_attempt_in_flight(&*make()).await;
    a_claimer_ends_his_own_claim_only(&*make()).await;
    no_claimer_frees_over_an_unknown_outcome(&*make()).await;
    open_calls_are_listed_in_pages(&*make()).await;
    an_event_is_heard_once(&*make()).await;
    any_order_of_events_gives_the_same_state(&*make()).await;
    a_call_has_the_key_that_was_told(&*make()).await;
}

/// Runs every row about a restart, for a store that outlives its process: each over a new place from `make`, which opens the journal of
/// that place, again and again. What was opened before is dropped first, and nothing is told to it.
///
/// # Panics
/// With the row's name, if the journal breaks it.
pub async fn durable<O: Fn() -> Arc<dyn AttemptJournal>>(make: impl Fn() -> O) {
    a_claim_without_attempts_is_free_again(&make()).await;
    what_was_begun_is_open(&make()).await;
    a_proof_settles_what_was_left(&make()).await;
    answers_outlive_the_process(&make()).await;
    numbers_go_on(&make()).await;
    what_was_heard_outlives_the_process(&make()).await;
    whose_a_call_is_outlives_the_process(&make()).await;
}

const FREEING: [Class; 3] = [Class::Unsent, Class::Deferred, Class::Rejected(Scope::Account)];
const ANSWERS: [Class; 2] = [Class::Accepted, Class::Rejected(Scope::Call)];

/// The answer to the first claim of a key.
const FIRST: Claim = Claim::Go { number: 1 };

/// 2001-09-09.
fn past() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// 2096-10-02.
fn future() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)
}

/// One key of a row: its steps, with the row's name in every failure.
struct Key<'a> {
    row: &'static str,
    journal: &'a dyn AttemptJournal,
    intent: Arc<Intent>,
}

impl<'a> Key<'a> {
    fn new(row: &'static str, journal: &'a dyn AttemptJournal, name: &str) -> Self {
        Self { row, journal, intent: intent(row, name, "main", "detail", future()) }
    }

    /// The same key with another fence, account or detail.
    fn with(&self, account: &str, detail: &str, fence: SystemTime) -> Self {
        let intent = intent(self.row, self.intent.key.as_str(), account, detail, fence);
        Self { row: self.row, journal: self.journal, intent }
    }

    fn fenced(&self, fence: SystemTime) -> Self {
        self.with("main", "detail", fence)
    }

    async fn claim(&self) -> Claim {
        ok(self.row, self.journal.claim(&self.intent).await)
    }

    async fn claims(&self, want: Claim) {
        same(self.row, self.claim().await, want);
    }

    async fn begin(&self, number: u32) {
        ok(self.row, self.journal.begin(&self.intent, number).await);
    }

    async fn begin_refused(&self, number: u32) {
        refused(self.row, self.journal.begin(&self.intent, number).await);
    }

    fn end(&self, number: u32, class: Class, reply: Option<&'static str>) {
        ok(self.row, self.journal.end(&self.intent.key, number, class, reply.map(Bytes::from)));
    }

    fn end_refused(&self, number: u32, class: Class) {
        refused(self.row, self.journal.end(&self.intent.key, number, class, None));
    }

    fn settle(&self, class: Class, reply: Option<&'static str>) {
        ok(self.row, self.journal.settle(&self.intent.key, class, reply.map(Bytes::from)));
    }

    fn settle_claim(&self, number: u32, class: Class) {
        ok(self.row, self.journal.settle_claim(&self.intent.key, number, class, None));
    }

    fn settle_claim_refused(&self, number: u32, class: Class) {
        refused(self.row, self.journal.settle_claim(&self.intent.key, number, class, None));
    }

    fn settle_refused(&self, class: Class) {
        refused(self.row, self.journal.settle(&self.intent.key, class, None));
    }

    /// Claims the key and carries attempt 1 to its end.
    async fn tried(&self, class: Class, reply: Option<&'static str>) {
        self.claims(FIRST).await;
        self.begin(1).await;
        self.end(1, class, reply);
    }
}

fn settled(class: Class, reply: Option<&'static str>) -> Claim {
    Claim::Settled(class, reply.map(Bytes::from))
}

fn intent(row: &str, key: &str, account: &str, detail: &str, fence: SystemTime) -> Arc<Intent> {
    let (key, account) = (ok(row, key.parse()), ok(row, account.parse()));
    Arc::new(Intent { key, account, detail: Bytes::copy_from_slice(detail.as_bytes()), fence })
}

#[track_caller]
#[expect(clippy::panic, reason = "test support: a failing row panics with its name")]
fn ok<T, E: Debug>(row: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{row}: {error:?}"))
}

#[track_caller]
fn same<T: PartialEq + Debug>(row: &str, got: T, want: T) {
    assert_eq!(got, want, "{row}");
}

#[track_caller]
fn refused(row: &str, result: Result<(), JournalError>) {
    let kind = result.err().map(|error| error.kind());
    assert_eq!(kind, Some(JournalErrorKind::State), "{row}: the step must be refused as State");
}

//! The journal in memory: conformance, bounds, redaction, and random steps against a model.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, Claim, Class, Clock, Intent, JournalErrorKind, Scope, SystemClock,
};
use trunkline_journal::{MemoryJournal, conformance};

/// A wall clock that stands still until it is told.
#[derive(Debug)]
struct Hand(Mutex<SystemTime>);

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(at(1_767_225_600))))
    }

    fn forward(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        SystemClock::new().now()
    }
    fn wall(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
    fn sleep_until(&self, _at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn intent(key: &str) -> Arc<Intent> {
    Arc::new(Intent {
        key: key.parse().unwrap(),
        account: "main".parse().unwrap(),
        detail: "to +14155550123".into(),
        fence: at(4_000_000_000),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_the_conformance_suite() {
    conformance::all(|| Arc::new(MemoryJournal::new(Hand::new()))).await;
}

async fn place(journal: &MemoryJournal, key: &str, class: Class) {
    let intent = intent(key);
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 }, "{key}");
    journal.begin(&intent, 1).await.unwrap();
    journal.end(&intent.key, 1, class, None).unwrap();
    journal.settle(&intent.key, class, None).unwrap();
}

#[tokio::test]
async fn a_full_journal_sweeps_what_ended_long_ago_and_never_what_is_open() {
    let clock = Hand::new();
    let journal = MemoryJournal::new(clock.clone()).max_keys(4).retention(Duration::from_secs(60));
    place(&journal, "placed", Class::Accepted).await;
    place(&journal, "unknown", Class::Ambiguous).await;
    clock.forward(Duration::from_secs(61));
    place(&journal, "unsent", Class::Unsent).await;
    place(&journal, "refused", Class::Rejected(Scope::Call)).await;

    // Only `placed` is old enough to go.
    place(&journal, "fifth", Class::Accepted).await;
    let full = journal.claim(&intent("sixth")).await.unwrap_err();
    assert_eq!(full.kind(), JournalErrorKind::Full);
    assert!(full.to_string().contains("max_keys"), "{full}");
    // A key that is held, settled or free needs no room.
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Open);
    assert_eq!(journal.claim(&intent("fifth")).await.unwrap(), Claim::Settled(Class::Accepted, None));
    assert_eq!(journal.claim(&intent("unsent")).await.unwrap(), Claim::Go { number: 2 });
    assert_eq!(format!("{journal:?}"), "MemoryJournal { open: 2, ended: 2, max_keys: 4, .. }");
    assert_eq!(journal.claim(&intent("placed")).await.unwrap_err().kind(), JournalErrorKind::Full);

    clock.forward(Duration::from_secs(61));
    assert_eq!(journal.claim(&intent("sixth")).await.unwrap(), Claim::Go { number: 1 });
    assert_eq!(journal.claim(&intent("unknown")).await.unwrap(), Claim::Open);
    assert_eq!(journal.claim(&intent("unsent")).await.unwrap(), Claim::Open);
}

#[test]
fn it_answers_at_once() {
    let journal = MemoryJournal::new(Hand::new());
    let call = intent("at-once");
    assert_eq!(journal.claim_at_once(&call).unwrap().unwrap(), Claim::Go { number: 1 });
    assert_eq!(journal.claim_at_once(&call).unwrap().unwrap(), Claim::Open);
    journal.begin_at_once(&call, 1).unwrap().unwrap();
    assert_eq!(journal.begin_at_once(&call, 2).unwrap().unwrap_err().kind(), JournalErrorKind::State);
    journal.end(&call.key, 1, Class::Accepted, None).unwrap();
    assert_eq!(journal.claim_at_once(&call).unwrap().unwrap(), Claim::Settled(Class::Accepted, None));
}

#[tokio::test]
async fn nothing_is_swept_while_there_is_room() {
    let clock = Hand::new();
    let journal = MemoryJournal::new(clock.clone()).retention(Duration::ZERO);
    place(&journal, "placed", Class::Accepted).await;
    clock.forward(Duration::from_secs(86_400 * 365));
    place(&journal, "other", Class::Accepted).await;
    assert_eq!(journal.claim(&intent("placed")).await.unwrap(), Claim::Settled(Class::Accepted, None));
}

#[tokio::test]
async fn a_key_freed_and_claimed_again_is_one_key_and_goes_by_its_last_end() {
    let clock = Hand::new();
    let journal = MemoryJournal::new(clock.clone()).max_keys(2).retention(Duration::from_secs(60));
    let again = intent("again");
    for turn in 0..1_000 {
        assert!(matches!(journal.claim(&again).await.unwrap(), Claim::Go { .. }), "turn {turn}");
        assert_eq!(format!("{journal:?}"), "MemoryJournal { open: 1, ended: 0, max_keys: 2, .. }");
        journal.settle(&again.key, Class::Unsent, None).unwrap();
        clock.forward(Duration::from_millis(70));
    }
    // Its first end was 70 s ago, its last one just now.
    place(&journal, "other", Class::Accepted).await;
    assert_eq!(journal.claim(&intent("third")).await.unwrap_err().kind(), JournalErrorKind::Full);
    clock.forward(Duration::from_secs(61));
    place(&journal, "third", Class::Accepted).await;
    place(&journal, "fourth", Class::Accepted).await;
    assert_eq!(format!("{journal:?}"), "MemoryJournal { open: 0, ended: 2, max_keys: 2, .. }");
}

#[tokio::test]
async fn a_claim_holds_a_bounded_number_of_attempts() {
    let journal = MemoryJournal::new(Hand::new());
    let intent = intent("stubborn");
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 });
    for number in 1..=256 {
        journal.begin(&intent, number).await.unwrap();
        journal.end(&intent.key, number, Class::Deferred, None).unwrap();
    }
    assert_eq!(journal.begin(&intent, 257).await.unwrap_err().kind(), JournalErrorKind::Full);
}

#[tokio::test]
async fn numbers_end_without_a_wrap() {
    let journal = MemoryJournal::new(Hand::new());
    let intent = intent("counted-out");
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: 1 });
    journal.begin(&intent, u32::MAX).await.unwrap();
    journal.end(&intent.key, u32::MAX, Class::Unsent, None).unwrap();
    journal.settle(&intent.key, Class::Unsent, None).unwrap();
    assert_eq!(journal.claim(&intent).await.unwrap(), Claim::Go { number: u32::MAX });
    assert_eq!(journal.begin(&intent, u32::MAX).await.unwrap_err().kind(), JournalErrorKind::State);
}

#[tokio::test]
async fn a_late_acceptance_of_a_freed_call_sticks() {
    let journal = MemoryJournal::new(Hand::new());
    let call = intent("late");
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
    journal.begin(&call, 1).await.unwrap();
    journal.end(&call.key, 1, Class::Ambiguous, None).unwrap();
    journal.settle(&call.key, Class::Unsent, None).unwrap();
    journal.end(&call.key, 1, Class::Accepted, Some("late".into())).unwrap();
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Settled(Class::Accepted, Some("late".into())));
}

#[tokio::test]
async fn a_late_refusal_of_a_proven_call_changes_no_answer() {
    let journal = MemoryJournal::new(Hand::new());
    let call = intent("proven");
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Go { number: 1 });
    journal.begin(&call, 1).await.unwrap();
    journal.settle(&call.key, Class::Accepted, Some("proof".into())).unwrap();
    journal.end(&call.key, 1, Class::Rejected(Scope::Call), Some("late".into())).unwrap();
    assert_eq!(journal.claim(&call).await.unwrap(), Claim::Settled(Class::Accepted, Some("proof".into())));
}

#[tokio::test]
async fn debug_and_errors_show_counts_and_no_number() {
    let journal = MemoryJournal::new(Hand::new());
    place(&journal, "order-14155550123", Class::Ambiguous).await;
    place(&journal, "order-14155550124", Class::Accepted).await;
    assert_eq!(format!("{journal:?}"), "MemoryJournal { open: 1, ended: 1, max_keys: 1000000, .. }");
    let error = journal.begin(&intent("order-14155550124"), 2).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("4155550"), "{error:?}");
}

#[test]
fn it_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<MemoryJournal>();
}

#[derive(Debug, Clone)]
enum Step {
    Claim(u8),
    Begin(u8, u32),
    End(u8, u32, Class),
    Settle(u8, Class),
    List,
}

fn steps() -> impl Strategy<Value = Step> {
    let (key, number, class) = (0u8..3, 1u32..5, proptest::sample::select(Class::ALL.to_vec()));
    prop_oneof![
        3 => key.clone().prop_map(Step::Claim),
        3 => (key.clone(), number.clone()).prop_map(|(k, n)| Step::Begin(k, n)),
        3 => (key.clone(), number, class.clone()).prop_map(|(k, n, c)| Step::End(k, n, c)),
        2 => (key, class).prop_map(|(k, c)| Step::Settle(k, c)),
        1 => Just(Step::List),
    ]
}

/// What a key may never do, whatever the journal answers.
#[derive(Debug, Default)]
struct Model {
    held: bool,
    placed: bool,
    last: u32,
    in_flight: Option<u32>,
    /// An end said that the number will not be rung: of a free key that is an answer.
    refused: bool,
}

async fn check(
    journal: &MemoryJournal,
    models: &mut HashMap<u8, Model>,
    step: Step,
) -> Result<(), TestCaseError> {
    let name = |key: u8| intent(&format!("key-{key}"));
    match step {
        Step::Claim(key) => {
            let model = models.entry(key).or_default();
            if matches!(journal.claim(&name(key)).await.unwrap(), Claim::Go { .. }) {
                prop_assert!(!model.held && !model.placed, "a second Go of key {key}: {model:?}");
                (model.held, model.in_flight) = (true, None);
            } else {
                prop_assert!(
                    model.held || model.placed || model.refused,
                    "key {key} is free and was not given: {model:?}"
                );
            }
        }
        Step::Begin(key, number) => {
            let model = models.entry(key).or_default();
            if journal.begin(&name(key), number).await.is_ok() {
                prop_assert!(model.held && !model.placed && model.in_flight.is_none(), "{model:?}");
                prop_assert!(number > model.last, "number {number} again: {model:?}");
                (model.last, model.in_flight) = (number, Some(number));
            }
        }
        Step::End(key, number, class) => {
            let model = models.entry(key).or_default();
            if journal.end(&name(key).key, number, class, None).is_ok() {
                prop_assert!(number <= model.last, "an end without a begin: {model:?}");
                model.placed |= class == Class::Accepted;
                model.refused |= class == Class::Rejected(Scope::Call);
                model.in_flight = model.in_flight.filter(|running| *running != number);
            }
        }
        Step::Settle(key, class) => {
            let model = models.entry(key).or_default();
            if journal.settle(&name(key).key, class, None).is_ok() {
                prop_assert!(!(model.placed && class != Class::Accepted), "a downgrade: {model:?}");
                model.placed |= class == Class::Accepted;
                if matches!(class, Class::Unsent | Class::Deferred | Class::Rejected(Scope::Account)) {
                    prop_assert!(model.in_flight.is_none(), "freed under an attempt: {model:?}");
                    model.held = false;
                }
            }
        }
        Step::List => {
            let open = journal.open_calls(at(5_000_000_000), None, 10).await.unwrap();
            prop_assert!(open.is_sorted_by_key(|intent| intent.key.clone()));
            for (key, model) in models.iter().filter(|(_, model)| model.placed || !model.held) {
                prop_assert!(!open.contains(&name(*key)), "key {key} is not open: {model:?}");
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_key_goes_twice_without_a_freeing_settle(steps in proptest::collection::vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (journal, mut models) = (MemoryJournal::new(Hand::new()), HashMap::new());
            for step in steps {
                check(&journal, &mut models, step).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

#[tokio::test]
async fn a_claim_without_an_attempt_is_not_listed_as_open() {
    let journal = MemoryJournal::new(Hand::new());
    let call = intent("claimed");
    journal.claim(&call).await.unwrap();
    let listed = || journal.open_calls(at(5_000_000_000), None, 10);
    assert!(listed().await.unwrap().is_empty());
    journal.begin(&call, 1).await.unwrap();
    assert_eq!(listed().await.unwrap(), std::slice::from_ref(&call));
}

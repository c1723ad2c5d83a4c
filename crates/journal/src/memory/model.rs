//! The journal in memory under every interleaving: of two claimers one goes, and what is open is never swept.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use trunkline_core_types::{AttemptJournal, Claim, Class, JournalErrorKind};

use crate::MemoryJournal;
use crate::sync::model::{ModelClock, explore, intent};

/// One call from claim to settle; whether it was sent.
fn place(journal: &MemoryJournal, key: &str, class: Class) -> bool {
    let intent = intent(key);
    let number = match journal.claim_at_once(&intent).unwrap() {
        Ok(Claim::Go { number }) => number,
        Ok(Claim::Open) => return false,
        Ok(claim) => {
            assert_eq!(claim, Claim::Settled(Class::Accepted, Some("reply".into())));
            return false;
        }
        Err(error) => {
            assert_eq!(error.kind(), JournalErrorKind::Full);
            return false;
        }
    };
    journal.begin_at_once(&intent, number).unwrap().unwrap();
    journal.end(&intent.key, number, class, Some("reply".into())).unwrap();
    journal.settle(&intent.key, class, Some("reply".into())).unwrap();
    true
}

fn journal() -> Arc<MemoryJournal> {
    Arc::new(MemoryJournal::new(ModelClock::new()))
}

#[test]
fn of_two_claimers_of_one_key_one_goes_at_a_time() {
    explore(|| {
        let journal = journal();
        let other = journal.clone();
        let freeing = thread::spawn(move || place(&other, "key", Class::Deferred));
        let accepted = place(&journal, "key", Class::Accepted);
        let freed = freeing.join().unwrap();
        assert!(accepted || freed);
        match journal.claim_at_once(&intent("key")).unwrap().unwrap() {
            Claim::Settled(Class::Accepted, _) => assert!(accepted),
            claim => assert_eq!((claim, accepted), (Claim::Go { number: 2 }, false)),
        }
    });
}

#[test]
fn a_proof_that_comes_at_any_moment_is_kept() {
    explore(|| {
        let journal = journal();
        let (other, call) = (journal.clone(), intent("key"));
        assert_eq!(journal.claim_at_once(&call).unwrap().unwrap(), Claim::Go { number: 1 });
        journal.begin_at_once(&call, 1).unwrap().unwrap();
        let hearing = thread::spawn(move || other.settle(&intent("key").key, Class::Accepted, None));
        journal.end(&call.key, 1, Class::Ambiguous, None).unwrap();
        // Refused where the proof came first.
        let _ = journal.settle(&call.key, Class::Ambiguous, None);
        hearing.join().unwrap().unwrap();
        let known = journal.claim_at_once(&call).unwrap().unwrap();
        assert_eq!(known, Claim::Settled(Class::Accepted, None));
    });
}

#[test]
fn a_key_that_is_held_is_neither_swept_nor_missed_by_a_listing() {
    explore(|| {
        // Nothing is kept: whatever ended goes as soon as there is need of its room.
        let journal = MemoryJournal::new(ModelClock::new()).max_keys(1).retention(Duration::ZERO);
        let journal = Arc::new(journal);
        let other = journal.clone();
        let full = thread::spawn(move || place(&other, "other", Class::Deferred));
        let call = intent("key");
        let mine = matches!(journal.claim_at_once(&call).unwrap(), Ok(Claim::Go { .. }));
        if mine {
            journal.begin_at_once(&call, 1).unwrap().unwrap();
            let far = call.fence + Duration::from_secs(1);
            let listed = journal.open_now(far, None, 9);
            assert_eq!(listed.iter().map(|intent| &intent.key).collect::<Vec<_>>(), [&call.key]);
            journal.end(&call.key, 1, Class::Ambiguous, None).unwrap();
        }
        assert!(full.join().unwrap() || mine);
    });
}

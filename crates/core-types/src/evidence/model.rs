//! The cell under every interleaving of a call's attempts with a thread that reads it before they end.

use std::sync::Arc;

use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;

use super::{Evidence, Progress};
use crate::{Class, Scope};

/// Runs a call's attempts on another thread, which tells when the first byte left, against one that reads the cell meanwhile.
fn explore(attempts: fn(&Evidence, &dyn Fn()), read: fn(&Evidence)) {
    loom::model(move || {
        let (evidence, left) = (Evidence::new(), Arc::new(AtomicBool::new(false)));
        let (cell, told) = (evidence.clone(), left.clone());
        let calling = thread::spawn(move || attempts(&cell, &|| told.store(true, Release)));
        if left.load(Acquire) {
            read(&evidence);
        }
        calling.join().unwrap();
        read(&evidence);
    });
}

fn may_have_acted(evidence: &Evidence) {
    let folded = evidence.folded();
    assert!(folded.may_have_acted(), "a byte has left, and the call reads as {folded:?}");
}

#[test]
fn a_byte_that_left_is_never_forgotten() {
    explore(
        |evidence, left| {
            evidence.live();
            left();
            evidence.reached(Progress::Part);
            evidence.settle(Class::Ambiguous);
            evidence.renew();
            evidence.live();
            evidence.settle(Class::Rejected(Scope::Account));
            evidence.renew();
        },
        may_have_acted,
    );
}

#[test]
fn nor_is_a_call_that_was_placed() {
    explore(
        |evidence, left| {
            evidence.live();
            evidence.settle(Class::Accepted);
            left();
            evidence.renew();
            evidence.live();
        },
        |evidence| assert_eq!(evidence.folded(), Class::Accepted),
    );
}

#[test]
fn a_call_whose_answer_was_noted_reads_as_placed() {
    explore(
        |evidence, left| {
            left();
            evidence.live();
            evidence.settle(Class::Accepted);
            evidence.note_answered();
        },
        |evidence| {
            if evidence.is_answered() {
                assert_eq!(evidence.class(), Class::Accepted);
            }
        },
    );
}

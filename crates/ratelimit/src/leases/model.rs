//! The leases under every interleaving of their lock: none is held twice, none is lost, nobody is forgotten.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use trunkline_core_types::Leases;

use crate::LocalLeases;
use crate::model::{ModelClock, explore, glance};

const TTL: Duration = Duration::from_secs(60);
const FAR: Duration = Duration::from_secs(1_000);

fn line() -> (Arc<ModelClock>, LocalLeases) {
    let clock = ModelClock::new();
    (clock.clone(), LocalLeases::new(NonZeroU32::MIN, clock))
}

fn take(clock: &ModelClock, lines: &LocalLeases, holder: &str) {
    block_on(lines.take(holder, clock.after(FAR), TTL)).unwrap();
}

/// Stands in line and gives up; what it got by then it gives back.
fn come_and_go(clock: &ModelClock, lines: &LocalLeases, holder: &str) {
    let mut waiting = lines.take(holder, clock.after(FAR), TTL);
    let taken = glance(&mut waiting).is_ready();
    drop(waiting);
    if taken {
        lines.release(holder);
    }
}

#[test]
fn a_release_serves_the_line_although_one_in_it_gives_up() {
    explore(|| {
        let (clock, lines) = line();
        take(&clock, &lines, "first");
        let (their_clock, theirs) = (clock.clone(), lines.clone());
        let leaving = thread::spawn(move || come_and_go(&their_clock, &theirs, "second"));
        let ending = lines.clone();
        let ending = thread::spawn(move || ending.release("first"));
        take(&clock, &lines, "third");
        assert_eq!(lines.held(), 1);
        lines.release("third");
        ending.join().unwrap();
        leaving.join().unwrap();
        assert_eq!((lines.held(), lines.waiting()), (0, 0));
    });
}

#[test]
fn a_lease_whose_time_is_over_serves_the_line_although_one_in_it_gives_up() {
    explore(|| {
        let (clock, lines) = line();
        take(&clock, &lines, "first");
        let (their_clock, theirs) = (clock.clone(), lines.clone());
        let leaving = thread::spawn(move || come_and_go(&their_clock, &theirs, "second"));
        let time = clock.clone();
        let moving = thread::spawn(move || time.move_to(TTL));
        take(&clock, &lines, "third");
        moving.join().unwrap();
        leaving.join().unwrap();
        lines.release("third");
        assert_eq!((lines.held(), lines.waiting()), (0, 0));
    });
}

#[test]
fn one_lease_serves_two_one_after_the_other() {
    explore(|| {
        let (clock, lines) = line();
        let (other_clock, other) = (clock.clone(), lines.clone());
        let serve = |clock: &ModelClock, lines: &LocalLeases, holder: &str| {
            take(clock, lines, holder);
            assert_eq!(lines.held(), 1);
            lines.release(holder);
        };
        let serving = thread::spawn(move || serve(&other_clock, &other, "first"));
        serve(&clock, &lines, "second");
        serving.join().unwrap();
        assert_eq!((lines.held(), lines.waiting()), (0, 0));
    });
}

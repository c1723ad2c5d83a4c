//! The whole client on real threads, over loopback, judged by the book of a real server.

use tokio::task::JoinSet;
use trunkline::{Clock, SystemClock};
use trunkline_tests::threads::{Verdict, plans, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_on_many_threads_ring_nobody_twice() {
    // About a minute on two cores.
    let calls = std::env::var("TRUNKLINE_THREADS_CALLS").map_or(100_000, |calls| calls.parse().unwrap());
    let (clock, mut running, mut all) = (SystemClock::new(), JoinSet::new(), Verdict::default());
    let began = clock.now();
    for plan in plans(calls) {
        running.spawn(run(plan));
    }
    while let Some(verdict) = running.join_next().await {
        let verdict = verdict.unwrap();
        println!("{:.1} s: {verdict}", (clock.now() - began).as_secs_f64());
        all.add(verdict);
    }
    println!("{:.1} s, all: {all}", (clock.now() - began).as_secs_f64());
    assert!(all.holds(), "{all}");
    assert_eq!(all.calls, calls);
    // Their 429s come by number.
    assert!(all.pauses > 0 || calls < 20_000, "no throttle was heard");
}

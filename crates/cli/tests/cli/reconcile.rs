//! What a batch left unknown, asked about by the next run, by `reconcile`, or at the batch's own end; judged by the simulator's book.

use std::path::Path;

use trunkline_simulator::{Fault, Faults, Simulator};

use super::batch::{command, folder, number, placed_at, rows};
use super::{KEY, Ran, ran, simulator, trunkline};

/// Short times, so that a call's time and the provider's delays are soon over.
const SHORT: [&str; 4] = ["--timeout", "1.5", "--processing-delay", "0.2"];

fn batch(simulator: &Simulator, folder: &Path, more: &[&str]) -> Ran {
    ran(command(simulator, folder, &[&SHORT, more].concat()).output().unwrap())
}

fn reconcile(simulator: &Simulator, folder: &Path, more: &[&str]) -> Ran {
    let args = [&["reconcile", "calls.csv.journal", "--json"], &SHORT[..], more].concat();
    ran(placed_at(simulator, folder, &args).output().unwrap())
}

fn counts(ran: &Ran, names: &[&str]) -> Vec<u64> {
    let json = ran.json();
    names.iter().map(|name| json[*name].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_replies_are_reconciled_and_nobody_is_rung_again() {
    let simulator = simulator().await;
    let folder = folder("reconcile", &rows(3));
    // A service that resets every create and rings nobody, in front of the same account.
    let mut faults = Faults::none();
    faults.reset_before_acting = 1000;
    let broken = Simulator::builder().api_key(KEY).signing_secret("canary-secret").faults(faults);
    let broken = broken.start().await.unwrap();
    assert_eq!(counts(&batch(&broken, &folder, &["--limit", "1"]), &["ambiguous"]), [1]);
    assert!(simulator.fault_next(Fault::LostTrack));
    let first = batch(&simulator, &folder, &[]);
    assert_eq!((first.code, counts(&first, &["placed", "ambiguous"])), (4, vec![1, 2]), "{}", first.stderr);
    assert!(first.stderr.contains("trunkline reconcile calls.csv.journal"), "{}", first.stderr);
    let creates = simulator.book().creates;

    let early = reconcile(&simulator, &folder, &[]);
    assert_eq!((early.code, counts(&early, &["placed", "waiting", "open"])), (4, vec![0, 2, 2]));
    assert!(early.stderr.contains("--wait"), "{}", early.stderr);
    let names = ["placed", "proven_absent", "still_unknown", "failed", "waiting", "open"];
    let waited = reconcile(&simulator, &folder, &["--wait", "20"]);
    assert_eq!((waited.code, counts(&waited, &names)), (4, vec![1, 1, 0, 0, 0, 1]), "{}", waited.stderr);

    let second = batch(&simulator, &folder, &[]);
    assert_eq!(counts(&second, &["placed", "already", "ambiguous"]), [0, 2, 1], "{}", second.stderr);
    assert_eq!((simulator.book().creates, simulator.book().calls), (creates, 2), "nobody was rung again");

    let freed = reconcile(&simulator, &folder, &["--free-proven-absent"]);
    assert_eq!((freed.code, counts(&freed, &names)), (0, vec![0, 1, 0, 0, 0, 0]), "{}", freed.stderr);
    let third = batch(&simulator, &folder, &[]);
    assert_eq!((third.code, counts(&third, &["placed", "already"])), (0, vec![1, 2]), "{}", third.stderr);
    assert_eq!((simulator.book().calls, simulator.book().duplicates), (3, 0));
    let none = reconcile(&simulator, &folder, &[]);
    assert_eq!((none.code, counts(&none, &names)), (0, vec![0; 6]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_alone_reconciles_what_the_first_left() {
    let simulator = simulator().await;
    let folder = folder("second", &rows(2));
    assert!(simulator.fault_next(Fault::LostTrack));
    let first = batch(&simulator, &folder, &[]);
    assert_eq!(counts(&first, &["placed", "ambiguous"]), [1, 1], "{}", first.stderr);
    let creates = simulator.book().creates;
    let second = batch(&simulator, &folder, &["--wait", "20"]);
    let names = ["placed", "already", "ambiguous", "reconciled"];
    assert_eq!((second.code, counts(&second, &names)), (0, vec![1, 1, 0, 1]), "{}", second.stderr);
    assert!(second.stderr.contains("1 turned out placed"), "{}", second.stderr);
    assert_eq!((simulator.book().creates, simulator.times_rung(&number(0))), (creates, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_settles_its_own_unknown_rows() {
    let simulator = simulator().await;
    let folder = folder("waits", &rows(2));
    assert!(simulator.fault_next(Fault::LostTrack));
    let waited = batch(&simulator, &folder, &["--wait", "20"]);
    assert_eq!(
        (waited.code, counts(&waited, &["placed", "ambiguous", "reconciled"])),
        (0, vec![2, 0, 1]),
        "{}",
        waited.stderr
    );
    assert_eq!((simulator.book().calls, simulator.book().duplicates), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reconciled_is_said_and_makes_no_journal() {
    let simulator = simulator().await;
    let folder = folder("unreconciled", &rows(1));
    let missing = reconcile(&simulator, &folder, &[]);
    assert_eq!((missing.code, &missing.json()["field"]), (2, &"journal".into()), "{}", missing.stderr);
    assert!(!folder.join("calls.csv.journal").exists());

    assert!(simulator.fault_next(Fault::LostTrack));
    assert_eq!(batch(&simulator, &folder, &[]).code, 4);
    let args = [
        "reconcile",
        "calls.csv.journal",
        "--json",
        "--timeout",
        "0.5",
        "--wait",
        "20",
        "--processing-delay",
        "0.1",
    ];
    let mut unreachable = trunkline(&args);
    unreachable
        .current_dir(&folder)
        .env("TRUNKLINE_BASE_URL", "http://127.0.0.1:9")
        .env("TRUNKLINE_API_KEY", KEY);
    let failed = ran(unreachable.output().unwrap());
    assert_eq!((failed.code, counts(&failed, &["failed", "open"])), (5, vec![1, 1]), "{}", failed.stderr);
    assert!(failed.stderr.contains("doctor"), "{}", failed.stderr);

    let status =
        ran(trunkline(&["status", "calls.csv.journal", "--json"]).current_dir(&folder).output().unwrap());
    assert_eq!(counts(&status, &["unknown"]), [1]);
    assert!(status.json()["oldest_open_age_s"].as_u64() > Some(0), "{}", status.stdout);
    let told = ran(trunkline(&["status", "calls.csv.journal"]).current_dir(&folder).output().unwrap());
    assert!(told.stdout.contains("was to be over"), "{}", told.stdout);
}

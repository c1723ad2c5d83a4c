//! A batch that is interrupted and one that is killed, again and again, over one file.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use trunkline::{Entropy, SeededEntropy};
use trunkline_simulator::{Fault, Faults, Simulator};

use super::batch::{command, folder, number, results, rows};
use super::{KEY, Running, ran, simulator};

fn start(simulator: &Simulator, folder: &Path, more: &[&str]) -> Running {
    let mut command = command(simulator, folder, more);
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

/// Until so many people were rung, or the batch is over.
fn wait_for_calls(simulator: &Simulator, running: &mut Running, calls: u64) {
    while simulator.book().calls < calls && !ended(&mut running.0) {
        std::thread::yield_now();
    }
}

fn the_end(mut running: Running) -> (i32, Value) {
    let mut stdout = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    (running.0.wait().unwrap().code().unwrap(), serde_json::from_str(&stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_batch_ends_its_calls_and_goes_on_later() {
    let simulator = simulator().await;
    let folder = folder("interrupted", &rows(2000));
    let mut running = start(&simulator, &folder, &[]);
    wait_for_calls(&simulator, &mut running, 5);
    running.interrupt();
    let (code, json) = the_end(running);
    let placed = simulator.book().calls;
    assert_eq!((code, &json["interrupted"], &json["under_way"]), (130, &true.into(), &0.into()), "{json}");
    assert!(placed < 500 && json["placed"] == placed && json["ambiguous"] == 0, "{json}");

    let (code, json) = the_end(start(&simulator, &folder, &["--limit", "10"]));
    assert_eq!((code, &json["placed"], &json["already"]), (0, &10.into(), &placed.into()), "{json}");
    assert_eq!(simulator.book().duplicates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_stops_at_once_and_says_what_is_open() {
    let simulator = simulator().await;
    assert!(simulator.fault_next(Fault::Slow(Duration::from_secs(600))));
    let folder = folder("interrupted_twice", &rows(1));
    let mut running = start(&simulator, &folder, &["--timeout", "300"]);
    wait_for_calls(&simulator, &mut running, 1);
    running.interrupt();
    let mut stderr = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(stderr.next().unwrap().contains("Ctrl-C again"));
    running.interrupt();
    let (code, json) = the_end(running);
    assert_eq!((code, &json["under_way"]), (130, &1.into()), "{json}");
    assert!(stderr.any(|line| line.contains("1 calls were under way")));

    let again = ran(command(&simulator, &folder, &[]).output().unwrap());
    assert_eq!((again.code, &again.json()["ambiguous"]), (4, &1.into()), "{}", again.stderr);
    assert_eq!(simulator.book().creates, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_batch_can_be_looked_at_and_not_run_twice() {
    let simulator = simulator().await;
    let folder = folder("beside", &rows(2000));
    let mut running = start(&simulator, &folder, &[]);
    wait_for_calls(&simulator, &mut running, 5);
    let second = ran(command(&simulator, &folder, &[]).output().unwrap());
    assert_eq!((second.code, second.stderr.contains("journal")), (5, true), "{}", second.stderr);
    let look = |args: &[&str]| ran(super::trunkline(args).current_dir(&folder).output().unwrap());
    let status = look(&["status", "calls.csv.journal", "--json"]);
    assert!(status.json()["placed"].as_u64() >= Some(1), "{}", status.stdout);
    assert!(look(&["export", "calls.csv.journal"]).stdout.lines().count() >= 1);
    running.interrupt();
    the_end(running);
    assert_eq!(simulator.book().duplicates, 0);
}

/// Kills of one file; `TRUNKLINE_KILLS` asks for more.
const KILLS: u64 = 40;
const CALLS_A_KILL: u64 = 12;

/// Kills a batch over one file at random points, then lets it run to its end; how many kills met it alive.
fn kill(simulator: &Simulator, folder: &Path, kills: u64, seed: u64) -> u64 {
    let chance = SeededEntropy::new(seed);
    let mut killed = 0;
    for _ in 0..kills {
        let mut running = start(simulator, folder, &["--timeout", "2"]);
        let calls = simulator.book().calls + chance.next() % CALLS_A_KILL;
        wait_for_calls(simulator, &mut running, calls);
        // On a busy machine a yield may last for many calls, and the file would be over after a few kills.
        let soon = |_: &u64| simulator.book().calls < calls + CALLS_A_KILL / 2;
        (0..chance.next() % 5_000).take_while(soon).for_each(|_| std::thread::yield_now());
        killed += u64::from(!ended(&mut running.0));
        running.0.kill().unwrap();
        running.0.wait().unwrap();
    }
    ran(command(simulator, folder, &["--timeout", "2"]).output().unwrap());
    // On a slow machine the file may be over before the last kills.
    assert!(killed > kills / 10, "{killed}");
    killed
}

/// Checks that each row's class is what its person met; how many are unknown.
fn check(simulator: &Simulator, folder: &Path, people: u32) -> usize {
    let of_rows = results(folder);
    assert_eq!(of_rows.len(), people as usize);
    let classes = (0..people).map(|n| {
        let class = of_rows[&(u64::from(n) + 2)]["class"].as_str().unwrap().to_owned();
        let rung = simulator.times_rung(&number(n));
        let right = match class.as_str() {
            "placed" | "already" => rung == 1,
            "ambiguous" => rung <= 1,
            other => other == "unsent" && rung == 0,
        };
        assert!(right, "row {n} is {class}, rung {rung} times");
        class
    });
    classes.filter(|class| class == "ambiguous").count()
}

fn tell(line: &str) {
    // The handle itself: what the macros print is shown only when a test fails.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{line}").unwrap();
}

fn kills() -> (u64, u32) {
    let kills = std::env::var("TRUNKLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    (kills, u32::try_from(kills * CALLS_A_KILL).unwrap())
}

/// The provider knows no keys, so nothing but the journal keeps people from being rung twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_alone_keeps_a_killed_batch_from_ringing_twice() {
    let (kills, people) = kills();
    let forgetful = Simulator::builder().api_key(KEY).signing_secret("canary-secret").ignore_idempotency();
    let simulator = forgetful.latency(Duration::from_millis(30)).start().await.unwrap();
    let folder = folder("killed", &rows(people));
    let killed = kill(&simulator, &folder, kills, 7);
    let unknown = check(&simulator, &folder, people);
    let book = simulator.book();
    assert_eq!(book.duplicates, 0);
    tell(&format!("{killed} kills over {people} rows: {} rung, none twice, {unknown} unknown", book.people));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_batch_forgets_nobody() {
    let (kills, people) = kills();
    let faulty =
        Simulator::builder().api_key(KEY).signing_secret("canary-secret").faults(Faults::some()).seed(7);
    let simulator = faulty.latency(Duration::from_millis(30)).start().await.unwrap();
    let folder = folder("killed_under_faults", &rows(people));
    let killed = kill(&simulator, &folder, kills, 8);
    let unknown = check(&simulator, &folder, people);

    // On demand everybody is rung: under the old keys, so that those who were are not rung again.
    let again =
        || ran(command(&simulator, &folder, &["--timeout", "2", "--redial-unknown"]).output().unwrap());
    assert!((0..20).any(|_| again().code == 0));
    assert!((0..people).all(|n| simulator.times_rung(&number(n)) == 1));
    tell(&format!("{killed} kills over {people} rows under faults: {unknown} unknown, then all rung once"));
}

//! `batch`, `status` and `export` as a user runs them, judged by the simulator's book.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use trunkline_simulator::{Fault, Simulator};

use super::{KEY, Ran, directory, ran, run, simulator, trunkline};

/// A folder that was not there before, with this file in it.
pub(super) fn folder(name: &str, file: &str) -> PathBuf {
    let folder = directory("batch").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("calls.csv"), file).unwrap();
    folder
}

pub(super) fn rows(count: u32) -> String {
    let rows: String = (0..count).map(|n| format!("{},Ada\n", number(n))).collect();
    format!("to,name\n{rows}")
}

pub(super) fn number(n: u32) -> String {
    format!("+1202555{n:04}")
}

/// The file of this folder, placed at this simulator.
pub(super) fn command(simulator: &Simulator, folder: &Path, more: &[&str]) -> Command {
    let mut args = vec!["batch", "calls.csv", "--say", "Hello {name}.", "--json"];
    args.extend(more);
    if !more.contains(&"--out") {
        args.extend(["--out", "results.jsonl"]);
    }
    placed_at(simulator, folder, &args)
}

/// The binary in this folder, with the settings of this simulator.
pub(super) fn placed_at(simulator: &Simulator, folder: &Path, args: &[&str]) -> Command {
    let mut command = trunkline(args);
    command
        .current_dir(folder)
        .env("TRUNKLINE_BASE_URL", simulator.base_url())
        .env("TRUNKLINE_API_KEY", KEY)
        .env("TRUNKLINE_SIGNING_SECRET", simulator.signing_secret());
    command
}

fn batch(simulator: &Simulator, folder: &Path, more: &[&str]) -> Ran {
    ran(command(simulator, folder, more).output().unwrap())
}

/// The results file, of which the last object of a line counts.
pub(super) fn results(folder: &Path) -> std::collections::BTreeMap<u64, Value> {
    let text = std::fs::read_to_string(folder.join("results.jsonl")).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.map(|object| (object["line"].as_u64().unwrap(), object)).collect()
}

fn at<'a>(folder: &Path, command: &'a [&'a str]) -> Ran {
    ran(trunkline(command).current_dir(folder).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_placed_once_however_often_it_is_run() {
    let simulator = simulator().await;
    let folder = folder("twice", &format!("{}2025550199,canary\n{},Ada\n", rows(20), number(4)));
    let first = batch(&simulator, &folder, &[]);
    let json = first.json();
    assert_eq!(first.code, 3, "{}", first.stderr);
    assert_eq!(
        (&json["rows"], &json["placed"], &json["input"], &json["duplicate"]),
        (&22.into(), &20.into(), &1.into(), &1.into())
    );
    let second = batch(&simulator, &folder, &[]);
    assert_eq!(
        (second.code, &second.json()["placed"], &second.json()["already"]),
        (3, &0.into(), &20.into())
    );
    assert_eq!((simulator.book().calls, simulator.book().duplicates), (20, 0));

    let results = results(&folder);
    assert_eq!(
        (results.len(), &results[&2]["class"], &results[&23]["class"]),
        (22, &"already".into(), &"duplicate".into())
    );
    assert!(results[&2]["call"].as_str().unwrap().starts_with("main/call_"));
    let rejects = std::fs::read_to_string(folder.join("calls.csv.rejects.csv")).unwrap();
    assert!(
        rejects.starts_with("line,field,reason\n22,\"to\",") && rejects.lines().count() == 2,
        "{rejects}"
    );
    assert!(!rejects.contains("canary") && !rejects.contains("202555"), "{rejects}");

    let status = at(&folder, &["status", "calls.csv.journal", "--json"]);
    assert_eq!(
        (status.code, &status.json()["placed"], &status.json()["unknown"]),
        (0, &20.into(), &0.into())
    );
    assert_eq!(status.json()["calls"], serde_json::json!({"queued": 20}));
    let export = at(&folder, &["export", "calls.csv.journal"]);
    assert_eq!((export.code, export.stdout.lines().count()), (0, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_and_places_nothing() {
    let simulator = simulator().await;
    let folder = folder("dry", &format!("{}1,x\n2,x\n{},Ada\n", rows(100), number(4)));
    let dry = batch(&simulator, &folder, &["--dry-run", "--pace", "2"]);
    let json = dry.json();
    assert_eq!(
        (dry.code, &json["calls"], &json["rejected"], &json["duplicates"]),
        (3, &100.into(), &2.into(), &1.into())
    );
    assert_eq!((&json["seconds"], &json["cost"]["amount"]), (&50.0.into(), &"1.500".into()));
    assert_eq!((&json["reasons"][0]["field"], &json["reasons"][0]["rows"]), (&"to".into(), &2.into()));
    assert_eq!((simulator.book().requests, std::fs::read_dir(&folder).unwrap().count()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_batch_is_exit_2_before_anything_is_dialled() {
    let simulator = simulator().await;
    let good = rows(2);
    let utf16: Vec<u8> =
        std::iter::once(0xfeff).chain(good.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (file, more, field, says) in [
        (utf16, &[][..], "file", "UTF-16"),
        (b"\x7fELF\0\0".to_vec(), &[], "file", "binary"),
        (Vec::new(), &[], "file", "empty"),
        (b"phone,name\n".to_vec(), &[], "file", "to=COLUMN"),
        (b"to,nick\n".to_vec(), &[], "say", "{name}"),
        (b"to,nmae\n".to_vec(), &[], "say", "did you mean nmae?"),
        (good.clone().into(), &["--separator", ";"], "file", "separated by commas?"),
        (good.clone().into(), &["--map", "to"], "map", "FIELD=COLUMN"),
        (good.clone().into(), &["--map", "who=to"], "map", "to, say, url, from or key"),
        (good.clone().into(), &["--separator", "::"], "separator", "semicolon"),
        (good.clone().into(), &["--out", "nowhere/results.jsonl"], "out", "cannot be written"),
        (good.clone().into(), &["--journal", "nowhere/journal"], "journal", "folder"),
        (good.clone().into(), &["--journal", "calls.csv"], "journal", "another path"),
        (good.clone().into(), &["--price", "cheap", "--dry-run"], "price", ""),
    ] {
        let folder = folder("bad", "");
        std::fs::write(folder.join("calls.csv"), file).unwrap();
        let refused = batch(&simulator, &folder, more);
        assert_eq!(refused.code, 2, "{says}: {}", refused.stderr);
        assert_eq!(refused.json()["field"], field, "{says}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{says}: {}", refused.stderr);
    }
    let missing = at(&folder("missing", ""), &["batch", "nowhere.csv", "--base-url", "http://127.0.0.1:9"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("nowhere.csv cannot be read; check path"), "{}", missing.stderr);
    assert_eq!(simulator.book().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_say_why() {
    let simulator = simulator().await;
    let folder = folder("refused", &rows(2));
    let refused =
        ran(command(&simulator, &folder, &[]).env("TRUNKLINE_API_KEY", "another").output().unwrap());
    assert_eq!((refused.code, &refused.json()["rejected"]), (3, &2.into()), "{}", refused.stderr);
    assert_eq!(refused.stderr.matches("rejected: status 401").count(), 1, "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_row_is_exit_4_and_dialled_again_only_on_demand() {
    let simulator = simulator().await;
    let folder = folder("unknown", &rows(1));
    assert!(simulator.fault_next(Fault::Slow(Duration::from_secs(60))));
    let first = batch(&simulator, &folder, &["--timeout", "0.5"]);
    assert_eq!((first.code, &first.json()["ambiguous"]), (4, &1.into()), "{}", first.stderr);
    assert!(first.stderr.contains("--redial-unknown") && first.stderr.contains("twice"), "{}", first.stderr);
    let creates = simulator.book().creates;
    let second = batch(&simulator, &folder, &["--timeout", "0.5"]);
    assert_eq!((second.code, simulator.book().creates), (4, creates), "{}", second.stderr);
    let status = at(&folder, &["status", "calls.csv.journal", "--json"]);
    assert_eq!(status.json()["unknown"], 1);
    batch(&simulator, &folder, &["--timeout", "0.5", "--redial-unknown"]);
    assert!(simulator.book().creates > creates);
    assert_eq!(simulator.times_rung(&number(0)), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_of_this_run_and_a_closed_port_is_exit_5() {
    let simulator = simulator().await;
    let folder = folder("limit", &rows(30));
    for placed in [12, 12, 6, 0] {
        let limited = batch(&simulator, &folder, &["--limit", "12"]);
        assert_eq!((limited.code, &limited.json()["placed"]), (0, &placed.into()), "{}", limited.stderr);
    }
    let nobody = self::folder("nobody", &rows(2));
    let unsent = ran(command(&simulator, &nobody, &["--timeout", "0.3"])
        .env("TRUNKLINE_BASE_URL", "http://127.0.0.1:9")
        .output()
        .unwrap());
    assert_eq!((unsent.code, &unsent.json()["unsent"]), (5, &2.into()), "{}", unsent.stderr);
    let later = batch(&simulator, &nobody, &[]);
    assert_eq!((later.code, &later.json()["placed"]), (0, &2.into()), "{}", later.stderr);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn results_that_find_no_room_stop_the_batch() {
    let simulator = simulator().await;
    let folder = folder("full", &rows(500));
    let full = batch(&simulator, &folder, &["--out", "/dev/full"]);
    assert_eq!((full.code, full.stderr.contains("out: cannot be written")), (5, true), "{}", full.stderr);
    let placed = simulator.book().calls;
    assert!((1..200).contains(&placed), "{placed}");
    // Nothing of it is lost: the journal has all of them.
    let status = at(&folder, &["status", "calls.csv.journal", "--json"]);
    assert_eq!(status.json()["placed"], placed);
}

#[test]
fn a_journal_that_is_none_is_exit_2() {
    let folder = folder("none", "to,name\n");
    for command in ["status", "export"] {
        for journal in ["nowhere.journal", "calls.csv"] {
            let refused = at(&folder, &[command, journal]);
            assert_eq!((refused.code, refused.stderr.contains("journal: ")), (2, true), "{}", refused.stderr);
        }
    }
    assert_eq!(run(&["status"]).code, 2);
}

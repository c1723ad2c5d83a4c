//! The built binary: exit codes, one JSON object on standard output, advice on standard error, no secret and no number anywhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod batch;
mod journals;
#[cfg(unix)]
mod kills;
mod reconcile;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use trunkline_simulator::{Fault, Simulator};

const TO: &str = "+12025550123";
const KEY: &str = "canary-key-7f3a";

/// A process with none of this process's settings, in an empty directory.
fn trunkline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(args).current_dir(directory("empty")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRUNKLINE_") {
            command.env_remove(name);
        }
    }
    command
}

fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran =
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    for stream in [&ran.stdout, &ran.stderr] {
        assert!(!stream.contains("canary") && !stream.contains("202555"), "{stream}");
        assert!(!stream.contains('\u{1b}') && !stream.contains("panicked"), "{stream}");
    }
    ran
}

fn run(args: &[&str]) -> Ran {
    ran(trunkline(args).output().unwrap())
}

fn run_with<V: AsRef<OsStr>>(args: &[&str], env: &[(&str, V)]) -> Ran {
    ran(trunkline(args).envs(env.iter().map(|(name, value)| (name, value))).output().unwrap())
}

impl Ran {
    /// The one object on standard output.
    fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{} {}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn call<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["call", "--to", TO, "--say", "Hello.", "--json"];
    args.extend(more);
    args
}

/// A call whose settings lead to this simulator.
fn call_at(simulator: &Simulator, key: &str, more: &[&str]) -> Ran {
    let env = [
        ("TRUNKLINE_BASE_URL", simulator.base_url()),
        ("TRUNKLINE_API_KEY", key.to_owned()),
        ("TRUNKLINE_SIGNING_SECRET", simulator.signing_secret().to_owned()),
    ];
    run_with(&call(more), &env)
}

async fn simulator() -> Simulator {
    Simulator::builder()
        .api_key(KEY)
        .signing_secret("canary-secret")
        .require_signature()
        .start()
        .await
        .unwrap()
}

#[test]
fn providers_are_listed() {
    let listed = run(&["providers", "--json"]);
    let claude = &listed.json()["providers"][0];
    assert_eq!(
        (listed.code, &claude["name"], &claude["ceiling_per_second"]),
        (0, &"claude".into(), &50.0.into())
    );
    assert!(run(&["providers"]).stdout.contains("per started minute"));
}

#[test]
fn bad_input_is_told_by_field_with_exit_2() {
    let key = [("TRUNKLINE_API_KEY", KEY)];
    for (args, field, says) in [
        (vec!["call", "--to", "2025550123", "--say", "Hello.", "--json"], "to", "E.164"),
        (vec!["call", "--to", TO, "--say", "", "--json"], "say", "say"),
        (call(&["--provider", "nobody"]), "provider", "claude"),
        (call(&[]), "base_url", "TRUNKLINE_BASE_URL"),
        (call(&["--base-url", "http://voice.example.com"]), "base_url", "https"),
        (call(&["--base-url", "https://voice.example.com", "--from", "2025550123"]), "from", "E.164"),
        (call(&["--base-url", "https://voice.example.com", "--account", "Main!"]), "account", "a-z"),
        (
            call(&["--base-url", "https://voice.example.com", "--config", "nowhere.toml"]),
            "config",
            "nowhere.toml",
        ),
    ] {
        let refused = run_with(&args, &key);
        assert_eq!(refused.code, 2, "{field} {}", refused.stderr);
        assert_eq!((&refused.json()["class"], &refused.json()["field"]), (&"input".into(), &field.into()));
        assert!(refused.stderr.starts_with("error: ") && refused.stderr.contains(says), "{}", refused.stderr);
    }
}

#[test]
fn a_pace_above_the_ceiling_is_bad_input() {
    let refused = run_with(
        &call(&["--base-url", "https://voice.example.com", "--pace", "51"]),
        &[("TRUNKLINE_API_KEY", KEY)],
    );
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("pace") && refused.stderr.contains("50/s"), "{}", refused.stderr);
}

#[test]
fn a_missing_key_names_its_variable() {
    let refused = run(&call(&["--base-url", "https://voice.example.com"]));
    assert_eq!((refused.code, &refused.json()["field"]), (2, &"api_key".into()));
    assert!(refused.stderr.contains("TRUNKLINE_API_KEY"), "{}", refused.stderr);
}

#[test]
fn two_keys_are_one_too_many() {
    let refused = run_with(
        &call(&["--base-url", "https://voice.example.com", "--api-key-file", "key"]),
        &[("TRUNKLINE_API_KEY", KEY)],
    );
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("TRUNKLINE_API_KEY") && refused.stderr.contains("--api-key-file"),
        "{}",
        refused.stderr
    );
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_exit_0() {
    assert_eq!(run(&["call", "--to", TO]).code, 2);
    assert_eq!(run(&["batch"]).code, 2);
    let help = run(&["call", "--help"]);
    assert_eq!(help.code, 0);
    assert!(
        help.stdout.contains("[env: TRUNKLINE_BASE_URL]") && help.stdout.contains("Example:"),
        "{}",
        help.stdout
    );
}

#[test]
fn nobody_listens_is_exit_5() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let unsent = run_with(&call(&["--base-url", &url, "--timeout", "0.3"]), &[("TRUNKLINE_API_KEY", KEY)]);
    assert_eq!((unsent.code, &unsent.json()["class"]), (5, &"unsent".into()), "{}", unsent.stderr);
    let looked = run_with(
        &["doctor", "--json", "--base-url", &url, "--timeout", "0.3"],
        &[("TRUNKLINE_API_KEY", KEY)],
    );
    assert_eq!((looked.code, &looked.json()["ok"]), (5, &false.into()), "{}", looked.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_once_under_its_key() {
    let simulator = simulator().await;
    let placed =
        call_at(&simulator, KEY, &["--key", "order-17", "--tag", "order=17", "--from", "+12025550100"]);
    let json = placed.json();
    assert_eq!(
        (placed.code, &json["class"], &json["tries"]),
        (0, &"placed".into(), &1.into()),
        "{}",
        placed.stderr
    );
    assert_eq!((&json["cost"]["amount"], &json["cost"]["currency"]), (&"0.015".into(), &"USD".into()));
    assert_eq!((&json["key"], &json["status"]), (&"order-17".into(), &"queued".into()));
    assert_eq!(json["call"], format!("main/{}", json["call_id"].as_str().unwrap()));
    let again =
        call_at(&simulator, KEY, &["--key", "order-17", "--tag", "order=17", "--from", "+12025550100"]);
    assert_eq!((again.code, &again.json()["call_id"]), (0, &json["call_id"]));
    assert_eq!(simulator.times_rung(TO), 1);
    assert_eq!(
        (simulator.calls()[0].from.as_str(), simulator.book().signatures_verified),
        ("+12025550100", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_exit_3() {
    let simulator = simulator().await;
    let refused = call_at(&simulator, "canary-wrong", &[]);
    assert_eq!(
        (refused.code, &refused.json()["class"], &refused.json()["status"]),
        (3, &"rejected".into(), &401.into()),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("TRUNKLINE_API_KEY"), "{}", refused.stderr);
    assert_eq!(simulator.book().calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_is_exit_4() {
    let simulator = simulator().await;
    assert!(simulator.fault_next(Fault::Slow(Duration::from_secs(60))));
    let open = call_at(&simulator, KEY, &["--timeout", "0.5", "--key", "order-18"]);
    assert_eq!(
        (open.code, &open.json()["class"], &open.json()["key"]),
        (4, &"ambiguous".into(), &"order-18".into()),
        "{}",
        open.stderr
    );
    assert!(open.stderr.contains("may have rung"), "{}", open.stderr);
    assert_eq!(simulator.times_rung(TO), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_gives_what_flags_and_environment_do_not() {
    let simulator = simulator().await;
    let place = directory("file");
    std::fs::write(place.join("key"), format!("{KEY}\n")).unwrap();
    std::fs::write(place.join("secret"), "canary-secret").unwrap();
    let toml = format!(
        "base_url = \"{}\"\naccount = \"from_file\"\napi_key_file = \"key\"\nsigning_secret_file = \"secret\"\n",
        simulator.base_url()
    );
    std::fs::write(place.join("trunkline.toml"), toml).unwrap();
    let in_place = |args: &[&str]| ran(trunkline(args).current_dir(&place).output().unwrap());
    let placed = in_place(&call(&[]));
    assert_eq!(placed.code, 0, "{}", placed.stderr);
    assert!(placed.json()["call"].as_str().unwrap().starts_with("from_file/"));
    let flagged = in_place(&call(&["--account", "from_flag"]));
    assert!(flagged.json()["call"].as_str().unwrap().starts_with("from_flag/"));
    let looked = in_place(&["doctor", "--json"]);
    assert_eq!((looked.code, &looked.json()["ok"]), (0, &true.into()), "{}", looked.stdout);
    assert!(
        looked.stdout.contains("account, base_url, api_key_file, signing_secret_file from trunkline.toml")
            && looked.stdout.contains("file-1"),
        "{}",
        looked.stdout
    );
}

#[test]
fn a_secret_in_the_file_is_refused() {
    let place = directory("secret_in_file");
    std::fs::write(place.join("trunkline.toml"), "api_key = \"canary\"\n").unwrap();
    let refused = ran(trunkline(&call(&[])).current_dir(&place).output().unwrap());
    assert_eq!((refused.code, &refused.json()["field"]), (2, &"api_key".into()));
    assert!(refused.stderr.contains("TRUNKLINE_API_KEY"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_which_key_is_refused() {
    let simulator = simulator().await;
    let env =
        [("TRUNKLINE_BASE_URL", simulator.base_url()), ("TRUNKLINE_API_KEY", "canary-wrong".to_owned())];
    let looked = run_with(&["doctor"], &env);
    assert_eq!(looked.code, 2, "{}", looked.stdout);
    assert!(looked.stdout.contains("fail") && looked.stdout.contains("fix: "), "{}", looked.stdout);
    assert_eq!(simulator.book().calls, 0);
}

#[test]
fn doctor_says_which_variable_counts_for_nothing() {
    let ran = run_with(&["doctor", "--base-url", "http://127.0.0.1:9"], &[("TRUNKLINE_PAEC", "1")]);
    assert!(ran.stdout.contains("TRUNKLINE_PAEC is not a setting"), "{}", ran.stdout);
    assert!(ran.stdout.contains("did you mean TRUNKLINE_PACE?"), "{}", ran.stdout);
}

#[test]
fn the_demo_agrees_with_its_judge() {
    let demo = run(&["demo", "--calls", "20", "--faults", "none", "--json"]);
    assert_eq!(demo.code, 0, "{}", demo.stderr);
    let json = demo.json();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = [
        "calls",
        "placed",
        "rejected",
        "unsent",
        "ambiguous",
        "reconciled",
        "duplicates",
        "pace_violations",
        "seconds",
        "p50_ms",
        "p99_ms",
        "cost",
    ];
    wanted.sort_unstable();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, wanted);
    assert_eq!((&json["calls"], &json["placed"], &json["duplicates"]), (&20.into(), &20.into(), &0.into()));
    assert_eq!(json["cost"], serde_json::json!({"USD": "0.300"}));
    assert!(json["p50_ms"].as_f64() > Some(0.0) && json["p99_ms"].as_f64() >= json["p50_ms"].as_f64());
}

#[test]
fn the_demo_survives_a_hostile_provider() {
    let demo = run(&["demo", "--calls", "20", "--faults", "hostile", "--seed", "7"]);
    assert_eq!(demo.code, 0, "{}{}", demo.stdout, demo.stderr);
    for word in ["simulator's book", "reconciled", "fault ", "p99", "USD", "seed"] {
        assert!(demo.stdout.contains(word), "{word} {}", demo.stdout);
    }
}

#[test]
fn the_demo_reconciles_what_a_hostile_provider_left_open() {
    let demo = run(&["demo", "--calls", "120", "--faults", "hostile", "--seed", "2", "--json"]);
    assert_eq!(demo.code, 0, "{}{}", demo.stdout, demo.stderr);
    let json = demo.json();
    assert!(json["reconciled"].as_u64() > Some(0), "{json}");
    assert_eq!((&json["ambiguous"], &json["duplicates"]), (&0.into(), &0.into()), "{json}");
    let sum = ["placed", "rejected", "unsent"].map(|class| json[class].as_u64().unwrap()).iter().sum::<u64>();
    assert_eq!(sum, 120, "{json}");
}

#[test]
fn a_port_in_use_is_exit_5() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(&["simulate", "--listen", &address, "--json"]);
    assert_eq!((refused.code, &refused.json()["field"]), (5, &"listen".into()), "{}", refused.stderr);
}

/// Ends the child when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
impl Running {
    fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

#[cfg(unix)]
#[test]
fn the_simulator_serves_until_it_is_interrupted() {
    let args = ["simulate", "--listen", "127.0.0.1:0", "--seed", "7", "--json"];
    let mut running = Running(trunkline(&args).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let started: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let url = started["base_url"].as_str().unwrap();
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(b"GET /_book HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"pace_violations\":0"), "{reply}");
    running.interrupt();
    let book: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(book["calls"], 0);
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_tells_what_happened() {
    let args = ["demo", "--calls", "5000", "--json"];
    let mut running =
        Running(trunkline(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    // The first call is placed at once; nothing is printed before the end, so the wait is the process's own start.
    while !started(running.0.id()) {
        std::thread::yield_now();
    }
    running.interrupt();
    let mut stdout = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(130));
    let count = |name: &str| json[name].as_u64().unwrap();
    assert!(count("calls") < 5000, "{json}");
    assert_eq!(count("calls"), count("placed") + count("rejected") + count("unsent") + count("ambiguous"));
}

/// Whether the process handles interrupts already: bit 1 of the caught signals (signal 2).
#[cfg(unix)]
fn started(process: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) else { return true };
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).is_ok_and(|mask| mask & 0b10 != 0)
}

#[cfg(unix)]
#[test]
fn a_reader_that_went_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = trunkline(&["providers"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

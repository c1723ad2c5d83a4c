//! Two judges that share no code with us: a Python peer written from the contract alone, and a client with the article's habits.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, Journal, NewCall, Provider};
use trunkline_core_types::Reply;
use trunkline_simulator::Simulator;
use trunkline_tests::variable;

fn python(script: &str, arguments: &[&str]) -> Command {
    let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
    let mut command = Command::new(variable("TRUNKLINE_TEST_PYTHON"));
    command.arg(peers.join(script)).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_written_from_the_contract_is_served() {
    let sim = Simulator::builder().require_signature().start().await.unwrap();
    let arguments = ["client", &sim.base_url(), sim.api_key(), sim.signing_secret()];
    let output = python("claude_peer.py", &arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let book = sim.book();
    assert_eq!((book.calls, book.duplicates, book.replays), (1, 0, 1), "{book:?}");
}

/// The Python peer as a server; its lines come one by one.
struct PythonServer {
    _process: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl PythonServer {
    async fn start(key: &str, secret: &str) -> (Self, String) {
        let mut process =
            python("claude_peer.py", &["server", key, secret]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut server = Self { _process: process, lines };
        let base_url = server.line().await["base_url"].as_str().unwrap().to_owned();
        (server, base_url)
    }

    async fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_server_written_from_the_contract_verifies_our_requests() {
    let (mut server, base_url) = PythonServer::start("peer-key", "peer-secret").await;
    let keys = |value: &str| StaticKeys::new(value.into()).unwrap();
    let account = Account::new("main", ClaudeVoice::new(&base_url).unwrap(), keys("peer-key")).unwrap();
    let account = account.signing_keys(keys("peer-secret"));
    let client = Client::builder(Journal::in_memory()).account(account).build().unwrap();

    let call = NewCall::say("+14155550123", "您好 \"quoted\"\n").unwrap().tag("order", "4711").unwrap();
    let reference = client.place(call).await.unwrap().reference.unwrap();
    assert_eq!(client.get(&reference).await.unwrap().id, reference.id);
    assert!(client.hang_up(&reference).await.unwrap().status.is_final());
    // One line for each request whose key and signature it verified: a body, and none twice.
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(server.line().await["method"], method);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_article_s_habits_work_and_its_reply_is_read_with_exact_money() {
    let sim = Simulator::start().await.unwrap();
    let base = format!("{}/v1", sim.base_url());
    let output = python("article_client.py", &[&base, sim.api_key()]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sim.times_rung("+8613800138000"), 1);

    let reply = Reply::new(Response::new(Bytes::from(output.stdout)));
    let call = ClaudeVoice::new(&base).unwrap().read_call(&reply).unwrap();
    assert_eq!((call.cost.unwrap().to_string().as_str(), call.status.as_str()), ("0.015 USD", "queued"));
}

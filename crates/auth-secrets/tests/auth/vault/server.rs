//! The scripted server, and a clock that moves by hand.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use trunkline_core_types::{BoxFuture, Clock, SystemClock};

type Script = Box<dyn Fn(&str) -> String + Send>;

/// Answers each request with what the script makes of it, one connection each; an empty answer is none at all.
pub(super) struct Server {
    address: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<String>>,
    asked: Notify,
}

impl Server {
    pub(super) async fn start(script: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let script: Mutex<Script> = Mutex::new(Box::new(script));
        let shared = Arc::new(Shared { script, requests: Mutex::default(), asked: Notify::new() });
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                let mut silent = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    silent.extend(shared.serve(stream).await);
                }
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn answer(&self, script: impl Fn(&str) -> String + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Completes when a request has come.
    pub(super) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Shared {
    /// Serves one request; gives the stream back if it is to stay silent.
    async fn serve(&self, mut stream: TcpStream) -> Option<TcpStream> {
        let mut request = Vec::new();
        while !whole(&request) {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        let request = String::from_utf8(request).unwrap();
        let answer = (self.script.lock().unwrap())(&request);
        self.requests.lock().unwrap().push(request);
        self.asked.notify_one();
        if answer.is_empty() {
            return Some(stream);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        None
    }
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

pub(super) fn json(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

pub(super) fn status(status: u16) -> String {
    json(status, "")
}

/// The body of a KV read as Vault sends it.
pub(super) fn secret(version: u64, data: &str) -> String {
    format!(
        r#"{{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{{"data":{data},"metadata":{{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":{version}}}}},"wrap_info":null,"warnings":null,"auth":null}}"#
    )
}

/// The body of a login, without `token_policies`, as for a role whose policies all come from groups.
pub(super) fn login(token: &str, lease: u64, renewable: bool) -> String {
    format!(
        r#"{{"auth":{{"client_token":"{token}","accessor":"a","policies":["default"],"lease_duration":{lease},"renewable":{renewable},"entity_id":"e","token_type":"service","orphan":true}}}}"#
    )
}

/// Moves when told to.
#[derive(Debug, Clone)]
pub(super) struct HandClock {
    now: Arc<Mutex<Instant>>,
    moved: Arc<Notify>,
}

impl HandClock {
    pub(super) fn new() -> Self {
        Self { now: Arc::new(Mutex::new(SystemClock::new().now())), moved: Arc::default() }
    }

    pub(super) fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
        self.moved.notify_waiters();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let moved = clock.moved.notified();
                if clock.now() >= at {
                    return;
                }
                moved.await;
            }
        })
    }
}

//! A minimal HTTP/1.1 client, and a clock that moves only when told.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use trunkline_core_types::{BoxFuture, Clock, SystemClock};
use trunkline_simulator::Simulator;

pub(crate) const BODY: &str = r#"{"to":"+14155550123","tts":"Your parcel is here"}"#;

/// Time that stands still until [`HandClock::advance`]. Its wall time starts at 2026-01-31T08:00:00Z.
#[derive(Debug)]
pub(crate) struct HandClock {
    started: Instant,
    passed: watch::Sender<Duration>,
}

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { started: SystemClock::new().now(), passed: watch::Sender::new(Duration::ZERO) })
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.passed.send_modify(|passed| *passed += by);
    }

    /// Waits until somebody sleeps on this clock besides `count` others.
    pub(crate) async fn sleepers(&self, count: usize) {
        while self.passed.receiver_count() <= count {
            tokio::task::yield_now().await;
        }
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        self.started + *self.passed.borrow()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_846_400) + *self.passed.borrow()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let (mut passed, started) = (self.passed.subscribe(), self.started);
        Box::pin(async move {
            let _ = passed.wait_for(|passed| started + *passed >= at).await;
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// `error.type` and `error.param`.
    pub(crate) fn error(&self) -> (String, String) {
        let error = self.json()["error"].clone();
        let text = |field: &str| error[field].as_str().unwrap_or("").to_owned();
        (text("type"), text("param"))
    }
}

impl Client {
    pub(crate) async fn connect(simulator: &Simulator) -> Self {
        let stream = TcpStream::connect(simulator.addr()).await.expect("the simulator listens");
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a request with these headers, one a line, and a body.
    pub(crate) async fn ask(&mut self, line: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let request = request(line, headers, body);
        self.send(request.as_bytes()).await?;
        self.answer().await
    }

    /// The head of a reply, for those that have no body in spite of their length.
    pub(crate) async fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(
                    String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("the head is text")
                );
            }
            self.more().await?;
        }
    }

    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut answer = Answer { status, head, text: String::new() };
        let length: usize =
            answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.buffer.len() < length {
            if let Err(error) = self.more().await {
                // What came before the cut, for the tests that look at it.
                return Err(io::Error::new(
                    error.kind(),
                    format!("{status}, {} of {length}", self.buffer.len()),
                ));
            }
        }
        answer.text = String::from_utf8(self.buffer.drain(..length).collect()).expect("the body is text");
        Ok(answer)
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

pub(crate) fn request(line: &str, headers: &str, body: &str) -> String {
    let lines: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: simulator\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request with the simulator's own key; `more` are further header lines.
pub(crate) async fn ask(simulator: &Simulator, line: &str, more: &str, body: &str) -> io::Result<Answer> {
    Client::connect(simulator).await.ask(line, &bearer(simulator, more), body).await
}

pub(crate) fn bearer(simulator: &Simulator, more: &str) -> String {
    format!("Authorization: Bearer {}\nContent-Type: application/json\n{more}", simulator.api_key())
}

/// A create under this key; an empty one sends no key.
pub(crate) async fn create(simulator: &Simulator, key: &str, body: &str) -> io::Result<Answer> {
    let more = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}") };
    ask(simulator, "POST /v1/calls", &more, body).await
}

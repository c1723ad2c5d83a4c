//! A provider in memory behind the dial seam, so that whole clients run in virtual time.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, BoxFuture, Client, ClientBuilder, Clock, Dial, Journal, Rate, SeededEntropy, Wire};
use trunkline_core_types::{AttemptError, FailureKind, Origin, VirtualClock};
use trunkline_journal::MemoryJournal;

/// What the peer does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Answers with this status and body.
    Answers(u16, &'static str),
    /// Answers after a time.
    AnswersLate(Duration),
    /// Says after a time what it knew when it was asked.
    SaysLate(Duration, u16, &'static str),
    /// Takes the request and closes.
    Closes,
    /// Takes the request and stays silent.
    Hangs,
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    script: Mutex<VecDeque<Does>>,
    pub(crate) requests: Mutex<Vec<(Instant, String)>>,
    refuses_connections: bool,
}

impl Peer {
    pub(crate) fn new(script: impl IntoIterator<Item = Does>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn unreachable() -> Arc<Self> {
        Arc::new(Self { refuses_connections: true, ..Self::default() })
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn takes(&self, request: &[u8]) -> Does {
        let mut requests = self.requests.lock().unwrap();
        requests.push((VirtualClock::new().now(), String::from_utf8_lossy(request).into_owned()));
        self.script.lock().unwrap().pop_front().unwrap_or(Does::Answers(201, ""))
    }
}

/// Dials the peer; a newtype, since the seam belongs to another crate.
#[derive(Debug)]
pub(crate) struct PeerDial(pub(crate) Arc<Peer>);

impl Dial for PeerDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            if self.0.refuses_connections {
                return Err(AttemptError::new(FailureKind::Connect, "scripted"));
            }
            Ok(Box::new(PeerWire { peer: self.0.clone(), request: Vec::new(), state: State::Idle })
                as Box<dyn Wire>)
        })
    }
}

struct PeerWire {
    peer: Arc<Peer>,
    request: Vec<u8>,
    state: State,
}

enum State {
    Idle,
    Waits(BoxFuture<'static, ()>, Option<Vec<u8>>),
    Answers(Vec<u8>),
    Closed,
    Silent,
}

fn pause(time: Duration) -> BoxFuture<'static, ()> {
    let clock = VirtualClock::new();
    clock.sleep_until(clock.now() + time)
}

fn created(number: usize) -> String {
    format!(
        r#"{{"call_id":"call_{number}","status":"queued","timestamps":{{"created":"2026-01-01T00:00:00Z"}},"cost":0.015}}"#
    )
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nretry-after: 2\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

impl PeerWire {
    fn whole_request(&self) -> bool {
        let text = String::from_utf8_lossy(&self.request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        body.len() >= length.parse::<usize>().unwrap()
    }

    fn act(&mut self) {
        let request = std::mem::take(&mut self.request);
        self.state = match self.peer.takes(&request) {
            Does::Answers(201, "") => State::Answers(response(201, &created(self.peer.count()))),
            Does::Answers(status, body) => State::Answers(response(status, body)),
            Does::AnswersLate(after) => State::Waits(pause(after), None),
            Does::SaysLate(after, status, body) => State::Waits(pause(after), Some(response(status, body))),
            Does::Closes => State::Closed,
            Does::Hangs => State::Silent,
        };
    }
}

impl Wire for PeerWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if matches!(self.state, State::Idle) && self.whole_request() {
            self.act();
        }
        if let State::Waits(timer, said) = &mut self.state {
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let said = said.take().unwrap_or_else(|| response(201, &created(self.peer.count())));
            self.state = State::Answers(said);
        }
        match &mut self.state {
            State::Closed => Poll::Ready(Ok(0)),
            State::Answers(bytes) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                if bytes.is_empty() {
                    self.state = State::Idle;
                }
                Poll::Ready(Ok(count))
            }
            // The client's next write polls the connection again.
            _ => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.request.extend_from_slice(buffer);
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}
}

pub(crate) fn account(peer: &Arc<Peer>) -> Account {
    named("main", peer)
}

pub(crate) fn named(id: &str, peer: &Arc<Peer>) -> Account {
    let keys = StaticKeys::new("key".into()).unwrap();
    let voice = ClaudeVoice::new("http://127.0.0.1:9").unwrap();
    Account::new(id, voice, keys).unwrap().dial(Arc::new(PeerDial(peer.clone())))
}

pub(crate) fn builder() -> ClientBuilder {
    let clock = Arc::new(VirtualClock::new());
    let journal = Journal::custom(Arc::new(MemoryJournal::new(clock.clone())));
    Client::builder(journal).clock(clock).entropy(Arc::new(SeededEntropy::new(1)))
}

pub(crate) fn client(peer: &Arc<Peer>) -> Client {
    builder().account(account(peer)).build().unwrap()
}

pub(crate) fn per_second(count: u32) -> Rate {
    Rate::per_second(NonZeroU32::new(count).unwrap())
}

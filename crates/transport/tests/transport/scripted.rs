//! A peer as a state machine behind the dial seam: every byte offset, blocked and failed writes, replies cut anywhere.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::task::consume_budget;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Clock, Deadline, FailureKind, Idempotency, Intent, Origin, StatusOnly,
    VirtualClock,
};
use trunkline_transport::{Dial, HttpClient, TransportSettings, Wire};

pub(crate) const URL: &str = "http://127.0.0.1:7/v1/calls";
pub(crate) const BODY: &[u8] = b"{\"to\":\"x\"}";
pub(crate) const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nnice";

/// What happens once the bytes that a side has are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Hang,
    Close,
    Reset,
}

/// What a connection does.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Bytes of the request it takes before `write_then`.
    pub(crate) takes: usize,
    pub(crate) write_then: Then,
    /// What it answers once it took a whole request, and then.
    pub(crate) reply: Vec<u8>,
    pub(crate) read_then: Then,
    /// It answers when it has the head, not the whole request.
    pub(crate) early: bool,
    /// What it says and does before a request came, unseen by the first so many looks.
    pub(crate) idle_looks: usize,
    pub(crate) idle_says: &'static str,
    pub(crate) idle_then: Then,
    /// Bytes it admits to have sent only after it was aborted.
    pub(crate) unreported: usize,
    /// It keeps a copy of what it could not send, and sends it when it is dropped without an abort.
    pub(crate) flushes_on_drop: bool,
}

impl Script {
    pub(crate) fn replies(reply: &str) -> Self {
        Self {
            takes: usize::MAX,
            write_then: Then::Hang,
            reply: reply.as_bytes().to_vec(),
            read_then: Then::Hang,
            early: false,
            idle_looks: 0,
            idle_says: "",
            idle_then: Then::Hang,
            unreported: 0,
            flushes_on_drop: false,
        }
    }

    pub(crate) fn takes(takes: usize, write_then: Then) -> Self {
        Self { takes, write_then, ..Self::replies("") }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) script: Script,
    pub(crate) received: Vec<u8>,
    pub(crate) aborted: bool,
    pub(crate) dropped: bool,
    sent: usize,
    answered_at: usize,
    held: Vec<u8>,
    wakers: Vec<Waker>,
}

impl State {
    /// Changes the script, as a peer that comes to life again.
    pub(crate) fn revive(&mut self, script: Script) {
        self.script = script;
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Whole requests that came.
    pub(crate) fn requests(&self) -> usize {
        let mut rest = &self.received[..];
        let mut count = 0;
        while let Some(length) = length_of(rest).filter(|length| *length <= rest.len()) {
            (count, rest) = (count + 1, &rest[length..]);
        }
        count
    }

    fn may_answer(&self) -> bool {
        let request = &self.received[self.answered_at..];
        if self.script.early { head_of(request).is_some() } else { is_whole(request) }
    }
}

/// The length of the head, once it is there.
pub(crate) fn head_of(request: &[u8]) -> Option<usize> {
    request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The length of the first request, once its head is there.
fn length_of(request: &[u8]) -> Option<usize> {
    let head = head_of(request)?;
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1).map_or("0", |rest| rest.split('\r').next().unwrap());
    Some(head + length.parse::<usize>().unwrap())
}

/// Whether it is one whole request.
pub(crate) fn is_whole(request: &[u8]) -> bool {
    length_of(request).is_some_and(|length| request.len() >= length)
}

#[derive(Debug, Default)]
pub(crate) struct ScriptedDial {
    scripts: Mutex<Vec<Result<Script, FailureKind>>>,
    pub(crate) connections: Mutex<Vec<Arc<Mutex<State>>>>,
    pub(crate) hangs: bool,
}

impl ScriptedDial {
    pub(crate) fn new(scripts: impl IntoIterator<Item = Script>) -> Arc<Self> {
        let mut scripts: Vec<_> = scripts.into_iter().map(Ok).collect();
        scripts.reverse();
        Arc::new(Self { scripts: scripts.into(), ..Self::default() })
    }

    pub(crate) fn failing(kind: FailureKind) -> Arc<Self> {
        Arc::new(Self { scripts: vec![Err(kind)].into(), ..Self::default() })
    }

    pub(crate) fn hanging() -> Arc<Self> {
        Arc::new(Self { hangs: true, ..Self::default() })
    }

    pub(crate) fn connection(&self, at: usize) -> Arc<Mutex<State>> {
        self.connections.lock().unwrap()[at].clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

impl Dial for ScriptedDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let next = self.scripts.lock().unwrap().pop().unwrap_or(Err(FailureKind::Connect));
            let script = next.map_err(|kind| AttemptError::new(kind, "scripted"))?;
            let state = Arc::new(Mutex::new(State {
                script,
                received: Vec::new(),
                aborted: false,
                dropped: false,
                sent: 0,
                answered_at: 0,
                held: Vec::new(),
                wakers: Vec::new(),
            }));
            self.connections.lock().unwrap().push(state.clone());
            Ok(Box::new(ScriptedWire(state)) as Box<dyn Wire>)
        })
    }
}

struct ScriptedWire(Arc<Mutex<State>>);

impl Drop for ScriptedWire {
    fn drop(&mut self) {
        let state = &mut *self.0.lock().unwrap();
        state.dropped = true;
        if state.script.flushes_on_drop && !state.aborted {
            state.received.append(&mut state.held);
        }
    }
}

fn then<T>(state: &mut State, then: Then, end: T, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    match then {
        Then::Hang => {
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        }
        Then::Close => Poll::Ready(Ok(end)),
        Then::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
    }
}

impl Wire for ScriptedWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.lock().unwrap();
        // Who has left answers nothing, whatever still comes.
        let left = state.script.idle_then != Then::Hang;
        if state.sent == 0 && (left || !state.may_answer()) {
            if state.script.idle_looks > 0 {
                state.script.idle_looks -= 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let says = std::mem::take(&mut state.script.idle_says);
            if !says.is_empty() {
                buffer[..says.len()].copy_from_slice(says.as_bytes());
                return Poll::Ready(Ok(says.len()));
            }
            return then(state, state.script.idle_then, 0, cx);
        }
        let rest = &state.script.reply[state.sent..];
        if rest.is_empty() {
            if state.may_answer() {
                state.answered_at = state.received.len();
                if state.script.read_then == Then::Hang {
                    state.sent = 0;
                }
            }
            return then(state, state.script.read_then, 0, cx);
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        state.sent += count;
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.lock().unwrap();
        let count = state.script.takes.saturating_sub(state.received.len()).min(buffer.len());
        if count == 0 {
            state.held = buffer.to_vec();
            return match state.script.write_then {
                Then::Close => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                other => then(state, other, 0, cx),
            };
        }
        state.received.extend_from_slice(&buffer[..count]);
        state.wakers.drain(..).for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.0.lock().unwrap().aborted = true;
    }

    fn unreported(&mut self) -> usize {
        self.0.lock().unwrap().script.unreported
    }
}

pub(crate) fn client(dial: Arc<ScriptedDial>) -> HttpClient {
    client_with(dial, TransportSettings::default())
}

pub(crate) fn https_client(dial: Arc<ScriptedDial>) -> HttpClient {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
    let origin = "https://localhost:7".parse().unwrap();
    HttpClient::with_dial(origin, TransportSettings::default(), judge, clock, dial).unwrap()
}

pub(crate) fn client_with(dial: Arc<ScriptedDial>, settings: TransportSettings) -> HttpClient {
    let clock = Arc::new(VirtualClock::new());
    HttpClient::with_dial(URL.parse().unwrap(), settings, Arc::new(StatusOnly::default()), clock, dial)
        .unwrap()
}

pub(crate) fn request(url: &str) -> Request<Bytes> {
    Request::post(url).header("content-type", "application/json").body(Bytes::from_static(BODY)).unwrap()
}

pub(crate) fn create_within(time: Duration) -> Attempt {
    create_to(URL, VirtualClock::new().now() + time)
}

pub(crate) fn create_to(url: &str, deadline: Instant) -> Attempt {
    let intent = Intent {
        key: "key".parse().unwrap(),
        account: "main".parse().unwrap(),
        detail: Bytes::new(),
        fence: SystemTime::UNIX_EPOCH,
    };
    Attempt::create(request(url), Arc::new(intent), Idempotency::No, Deadline::At(deadline))
}

pub(crate) fn create() -> Attempt {
    create_within(Duration::from_secs(30))
}

/// Runs `work` in a task that has used up tokio's budget: until it yields, every socket reads as pending to it.
pub(crate) async fn exhausted<T>(work: impl Future<Output = T>) -> T {
    let (mut work, mut begun) = (pin!(work), false);
    poll_fn(|cx| {
        if !std::mem::replace(&mut begun, true) {
            while pin!(consume_budget()).poll(cx).is_ready() {}
        }
        work.as_mut().poll(cx)
    })
    .await
}

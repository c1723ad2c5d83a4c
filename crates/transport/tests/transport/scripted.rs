//! A peer as a state machine behind the dial seam: every byte offset, blocked and failed writes, replies cut anywhere.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
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
    /// What it does before a request came.
    pub(crate) idle_then: Then,
}

impl Script {
    pub(crate) fn replies(reply: &str) -> Self {
        Self {
            takes: usize::MAX,
            write_then: Then::Hang,
            reply: reply.as_bytes().to_vec(),
            read_then: Then::Hang,
            idle_then: Then::Hang,
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
    wakers: Vec<Waker>,
}

impl State {
    /// Changes the script, as a peer that comes to life again.
    pub(crate) fn revive(&mut self, script: Script) {
        self.script = script;
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn request_complete(&self) -> bool {
        self.received[self.answered_at..].ends_with(BODY)
    }
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
        self.0.lock().unwrap().dropped = true;
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
        if state.sent == 0 && !state.request_complete() {
            return then(state, state.script.idle_then, 0, cx);
        }
        let rest = &state.script.reply[state.sent..];
        if rest.is_empty() {
            if state.request_complete() {
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
}

pub(crate) fn client(dial: Arc<ScriptedDial>) -> HttpClient {
    client_with(dial, TransportSettings::default())
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

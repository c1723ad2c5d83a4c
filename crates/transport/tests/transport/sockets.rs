//! Real peers, over TCP and TLS, that follow the same scripts as the peer in memory; the client's side of the wire can be held.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use trunkline_core_types::{AttemptError, BoxFuture, Clock, Origin, StatusOnly, SystemClock};
use trunkline_transport::{Dial, HttpClient, TcpDial, TransportSettings, Wire};

use crate::scripted::{Script, Then, head_of, is_whole};
use crate::tls::Authority;

/// Between the client and its socket: lets so many bytes out, and hides what came in from so many looks.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: Mutex<Held>,
    full: Notify,
    quit: Notify,
}

#[derive(Debug, Default)]
struct Held {
    budget: Option<usize>,
    looks: usize,
    passed: usize,
    waker: Option<Waker>,
    /// A write that may not pass takes 0 bytes; otherwise it is pending.
    zero: bool,
}

impl Gate {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// From now on only `budget` bytes leave, and `looks` reads see nothing.
    pub(crate) fn hold(&self, budget: usize, looks: usize) {
        let mut held = self.held();
        (held.budget, held.looks, held.passed) = (Some(budget), looks, 0);
    }

    /// The same, and whoever writes more is told that nothing was taken.
    pub(crate) fn hold_with_zero(&self, budget: usize) {
        self.hold(budget, 0);
        self.held().zero = true;
    }

    /// Everything passes again.
    pub(crate) fn open(&self) {
        let mut held = self.held();
        held.budget = None;
        if let Some(waker) = held.waker.take() {
            waker.wake();
        }
    }

    /// Bytes that left since the gate was last held.
    pub(crate) fn passed(&self) -> usize {
        self.held().passed
    }

    /// The peer does with the connection that waits what its script says of idle ones.
    pub(crate) fn quit(&self) {
        self.quit.notify_one();
    }

    /// Something wants to leave and may not.
    pub(crate) async fn full(&self) {
        self.full.notified().await;
    }
}

#[derive(Debug)]
struct GatedDial {
    inner: TcpDial,
    gate: Arc<Gate>,
}

impl Dial for GatedDial {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            let inner = self.inner.connect(origin).await?;
            Ok(Box::new(Gated { inner, gate: self.gate.clone() }) as Box<dyn Wire>)
        })
    }
}

struct Gated {
    inner: Box<dyn Wire>,
    gate: Arc<Gate>,
}

impl Wire for Gated {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut held = self.gate.held();
        if held.looks > 0 {
            held.looks -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        drop(held);
        self.inner.poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let mut held = self.gate.held();
        let allowed = held.budget.map_or(buffer.len(), |budget| budget.min(buffer.len()));
        if allowed == 0 && !buffer.is_empty() {
            held.waker = Some(cx.waker().clone());
            self.gate.full.notify_one();
            return if held.zero { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let written = self.inner.poll_write(cx, &buffer[..allowed]);
        if let Poll::Ready(Ok(count)) = written {
            held.budget = held.budget.map(|budget| budget - count);
            held.passed += count;
        }
        written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}

/// How the peer saw a connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
    /// By the peer's own doing.
    Own,
}

/// What the peer saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Book {
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    /// Bytes of HTTP, whole requests or not.
    pub(crate) bytes: usize,
    pub(crate) ends: Vec<End>,
}

/// A peer on a port of this machine, and a client of it.
pub(crate) struct Sockets {
    pub(crate) client: Arc<HttpClient>,
    pub(crate) url: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) book: Arc<Mutex<Book>>,
    script: Arc<Mutex<Script>>,
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Tls,
}

impl Sockets {
    pub(crate) fn new(over: Over, script: Script) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(local()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, root) = match over {
            Over::Tcp => (None, Vec::new()),
            Over::Tls => {
                let authority = Authority::new();
                (Some(authority.acceptor("localhost")), authority.pem())
            }
        };
        let url = match over {
            Over::Tcp => format!("http://127.0.0.1:{port}/v1/calls"),
            Over::Tls => format!("https://localhost:{port}/v1/calls"),
        };
        let (gate, book) = (Arc::new(Gate::default()), Arc::new(Mutex::new(Book::default())));
        let script = Arc::new(Mutex::new(script));
        tokio::spawn(accept(listener, acceptor, script.clone(), gate.clone(), book.clone()));
        let client = client(&url, gate.clone(), root);
        Self { client: Arc::new(client), url, gate, book, script }
    }

    /// A new page of the book, and what the peer does from its next request on.
    pub(crate) fn rescript(&self, script: Script) {
        self.gate.open();
        *self.book.lock().unwrap() = Book::default();
        *self.script.lock().unwrap() = script;
    }

    /// What the peer saw so far.
    pub(crate) fn book(&self) -> Book {
        self.book.lock().unwrap().clone()
    }
}

fn client(url: &str, gate: Arc<Gate>, root: Vec<u8>) -> HttpClient {
    let mut settings = TransportSettings::default();
    settings.extra_roots = root;
    settings.read_timeout = Duration::from_millis(250);
    settings.connect_timeout = Duration::from_secs(2);
    let dial = Arc::new(GatedDial { inner: TcpDial::new(), gate });
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    HttpClient::with_dial(url.parse().unwrap(), settings, judge, clock, dial).unwrap()
}

/// Lets the other side of a socket, and the runtime's look at it, catch up.
pub(crate) async fn settle() {
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
}

/// Waits until `done`, and fails after five seconds.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let end = clock.now() + Duration::from_secs(5);
    while !done() {
        assert!(clock.now() < end, "{what}");
        clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
    }
}

type Books = Arc<Mutex<Book>>;
type Scripted = Arc<Mutex<Script>>;

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    script: Scripted,
    gate: Arc<Gate>,
    book: Books,
) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        book.lock().unwrap().connections += 1;
        let (tls, script, gate, book) = (tls.clone(), script.clone(), gate.clone(), book.clone());
        tokio::spawn(async move {
            let io: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            let end = Serving { io, script, gate, book: book.clone(), buffer: Vec::new() }.run().await;
            book.lock().unwrap().ends.push(end);
        });
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    fn linger_zero(&mut self);
}

impl Stream for TcpStream {
    fn linger_zero(&mut self) {
        self.set_zero_linger().unwrap();
    }
}

impl Stream for TlsStream<TcpStream> {
    fn linger_zero(&mut self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

/// Why a peer that waits for a request goes on.
enum Woken {
    Request,
    Full,
    Quit,
    Ended(End),
}

struct Serving {
    io: Box<dyn Stream>,
    script: Scripted,
    gate: Arc<Gate>,
    book: Books,
    buffer: Vec<u8>,
}

impl Serving {
    fn script(&self) -> Script {
        self.script.lock().unwrap().clone()
    }

    async fn run(mut self) -> End {
        loop {
            let script = self.script();
            match self.request(&script).await {
                Woken::Request => {}
                // What wants to leave the client may not: the script says what the peer does meanwhile.
                Woken::Full => return self.end(script.write_then).await,
                Woken::Quit => {
                    let script = self.script();
                    let _ = self.io.write_all(script.idle_says.as_bytes()).await;
                    let _ = self.io.flush().await;
                    return self.end(script.idle_then).await;
                }
                Woken::Ended(end) => return end,
            }
            let script = self.script();
            if self.io.write_all(&script.reply).await.is_err() || self.io.flush().await.is_err() {
                return End::Reset;
            }
            if script.read_then != Then::Hang {
                return self.end(script.read_then).await;
            }
        }
    }

    /// Until a request is there that may be answered, or something else is to be done.
    async fn request(&mut self, script: &Script) -> Woken {
        loop {
            let may_answer = match script.early {
                true => head_of(&self.buffer).is_some(),
                false => is_whole(&self.buffer),
            };
            if may_answer {
                self.book.lock().unwrap().requests += usize::from(is_whole(&self.buffer));
                self.buffer.clear();
                return Woken::Request;
            }
            match self.read().await {
                // Who answers early waits for the head, which is on its way.
                Err(Woken::Full) if script.early => {}
                Err(woken) => return woken,
                Ok(count) => self.book.lock().unwrap().bytes += count,
            }
        }
    }

    async fn read(&mut self) -> Result<usize, Woken> {
        let mut full = pin!(self.gate.full());
        let mut quit = pin!(self.gate.quit.notified());
        let mut read = pin!(self.io.read_buf(&mut self.buffer));
        poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(match read {
                    Ok(0) => Err(Woken::Ended(End::Fin)),
                    Ok(count) => Ok(count),
                    Err(_) => Err(Woken::Ended(End::Reset)),
                });
            }
            if full.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Woken::Full));
            }
            quit.as_mut().poll(cx).map(|()| Err(Woken::Quit))
        })
        .await
    }

    async fn end(mut self, then: Then) -> End {
        match then {
            Then::Hang => self.drain().await,
            Then::Close => {
                let _ = self.io.shutdown().await;
                self.drain().await
            }
            Then::Reset => {
                self.io.linger_zero();
                drop(self.io);
                self.gate.open();
                End::Own
            }
        }
    }

    /// Reads whatever still comes.
    async fn drain(&mut self) -> End {
        let mut rest = [0; 65_536];
        loop {
            match self.io.read(&mut rest).await {
                Ok(0) => return End::Fin,
                Ok(count) => self.book.lock().unwrap().bytes += count,
                Err(_) => return End::Reset,
            }
        }
    }
}

pub(crate) fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

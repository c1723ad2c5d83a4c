//! A connection to a peer that takes requests whole and answers them whole: for runs whose point is not the single byte.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trunkline::{BoxFuture, Clock, Dial, Wire};
use trunkline_core_types::{AttemptError, FailureKind, Origin};

/// The other side of the connections.
pub(super) trait Peer: Debug + Send + Sync + 'static {
    /// Whether it takes a connection.
    fn connects(&self) -> bool;

    /// Acts on a request whose writing began at `began`, when its last byte is there.
    fn asked(&self, request: &str, began: Instant) -> Answer;

    /// Its clock.
    fn clock(&self) -> &dyn Clock;
}

/// What comes back after some time; no text is a reset.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) after: Duration,
    pub(super) text: Option<String>,
}

#[derive(Debug)]
pub(super) struct PeerDial(pub(super) Arc<dyn Peer>);

impl Dial for PeerDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            if !self.0.connects() {
                return Err(AttemptError::new(FailureKind::Connect, "simulated"));
            }
            let peer = self.0.clone();
            Ok(
                Box::new(PeerWire {
                    peer,
                    request: Vec::new(),
                    began: None,
                    reply: Reply::None,
                    reader: None,
                }) as Box<dyn Wire>,
            )
        })
    }
}

struct PeerWire {
    peer: Arc<dyn Peer>,
    request: Vec<u8>,
    /// When the client first tried to write the request.
    began: Option<Instant>,
    reply: Reply,
    reader: Option<Waker>,
}

enum Reply {
    None,
    Later(BoxFuture<'static, ()>, Option<Vec<u8>>),
    Bytes(Vec<u8>),
    Reset,
}

impl PeerWire {
    /// Acts when the last byte of the request is there, whether anybody waits for the reply or not.
    fn act(&mut self) {
        let Ok(text) = std::str::from_utf8(&self.request) else { return };
        if !is_whole(text) {
            return;
        }
        let clock = self.peer.clock();
        let began = self.began.take().unwrap_or_else(|| clock.now());
        let answer = self.peer.asked(text, began);
        let timer = clock.sleep_until(clock.now() + answer.after);
        self.reply = Reply::Later(timer, answer.text.map(String::into_bytes));
        self.request.clear();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Whether head and body are all there.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.parse::<usize>().unwrap()
}

impl Wire for PeerWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Reply::Later(timer, bytes) = &mut self.reply {
            std::task::ready!(timer.as_mut().poll(cx));
            self.reply = bytes.take().map_or(Reply::Reset, Reply::Bytes);
        }
        match &mut self.reply {
            Reply::Bytes(bytes) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                if bytes.is_empty() {
                    self.reply = Reply::None;
                }
                Poll::Ready(Ok(count))
            }
            Reply::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Reply::None | Reply::Later(..) => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(self.reply, Reply::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.began.get_or_insert_with(|| self.peer.clock().now());
        self.request.extend_from_slice(buffer);
        self.act();
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

//! The socket of one connection, which can be told to end in the middle of a reply.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With a reset: what is still unsent is dropped.
    Reset,
    /// Like any close.
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Open,
    /// The next reply's head and `body` bytes may leave; `seen` bytes of the blank line after the head have left.
    Cut {
        seen: usize,
        body: usize,
        end: End,
    },
    Over(End),
}

/// What is planned for a connection: shared by the socket's wrapper and the request's handler.
#[derive(Debug)]
pub(super) struct Plan(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    stage: Stage,
    deadline: Option<Instant>,
}

impl Plan {
    pub(super) fn new(deadline: Instant) -> Self {
        Self(Mutex::new(Inner { stage: Stage::Open, deadline: Some(deadline) }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a silent peer is given up; `None` while a request is handled.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.inner().deadline
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.inner().deadline = deadline;
    }

    /// Nothing more leaves; the close is a reset.
    pub(super) fn reset(&self) {
        self.inner().stage = Stage::Over(End::Reset);
    }

    /// The next reply's head and this many bytes of its body leave, then the connection ends.
    pub(super) fn cut(&self, body: usize, end: End) {
        self.inner().stage = Stage::Cut { seen: 0, body, end };
    }
}

impl Stage {
    /// How many of these bytes may leave.
    fn allows(self, bytes: &[u8]) -> usize {
        match self {
            Self::Open => bytes.len(),
            Self::Over(_) => 0,
            Self::Cut { seen, body, .. } => {
                let (head, _) = head(seen, bytes);
                head + body.min(bytes.len() - head)
            }
        }
    }

    fn after(self, sent: &[u8]) -> Self {
        let Self::Cut { seen, body, end } = self else { return self };
        let (head, seen) = head(seen, sent);
        let body = body - body.min(sent.len() - head);
        if seen == BLANK.len() && body == 0 { Self::Over(end) } else { Self::Cut { seen, body, end } }
    }
}

const BLANK: &[u8] = b"\r\n\r\n";

/// How many of these bytes belong to the head, and how much of its blank line has been seen after them.
fn head(mut seen: usize, bytes: &[u8]) -> (usize, usize) {
    let mut length = 0;
    while seen < BLANK.len() && length < bytes.len() {
        seen = match bytes[length] {
            byte if byte == BLANK[seen] => seen + 1,
            b'\r' => 1,
            _ => 0,
        };
        length += 1;
    }
    (length, seen)
}

/// The socket under its plan.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    plan: Arc<Plan>,
}

impl Line {
    pub(super) fn new(stream: TcpStream, plan: Arc<Plan>) -> Self {
        Self { stream, plan }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if matches!(self.plan.inner().stage, Stage::Over(End::Reset)) {
            // Failing, the peer sees a plain close, which is as good as a reset to it.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stage = self.plan.inner().stage;
        match stage {
            Stage::Over(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Stage::Over(End::Close) => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stage = self.plan.inner().stage;
        let allowed = stage.allows(bytes);
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let sent = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]))?;
        self.plan.inner().stage = stage.after(&bytes[..sent]);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stage = self.plan.inner().stage;
        match stage {
            // A shutdown would announce a clean end before the reset.
            Stage::Over(End::Reset) => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_lets_the_head_and_so_much_body_pass(
            head in "HTTP/1.1 201 Created\r\n(a: [a-z]{0,8}\r\n){0,4}",
            body in "[a-z\r\n]{1,40}",
            keep in 0usize..40,
            pieces in proptest::collection::vec(1usize..30, 1..40),
        ) {
            let whole = format!("{head}\r\n{body}").into_bytes();
            let (mut stage, mut at) = (Stage::Cut { seen: 0, body: keep, end: End::Reset }, 0);
            for piece in pieces.into_iter().cycle() {
                let chunk = &whole[at..whole.len().min(at + piece)];
                let allowed = stage.allows(chunk);
                stage = stage.after(&chunk[..allowed]);
                at += allowed;
                if allowed == 0 {
                    break;
                }
            }
            prop_assert_eq!(at, head.len() + 2 + keep.min(body.len()));
            prop_assert_eq!(matches!(stage, Stage::Over(_)), keep <= body.len());
        }
    }
}

//! What hyper drives: a wire whose written bytes are counted below TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::Wire;

/// Bytes that a connection has written. One owner at a time, so relaxed is enough.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    /// The last write did not go through. What is above writes on until one does not, so unset means that nothing is left to write.
    stuck: AtomicBool,
    /// Since it was last asked, a write went through after one that did not.
    resumed: AtomicBool,
}

impl Written {
    pub(super) fn get(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.0.stuck.load(Ordering::Relaxed)
    }

    /// Whether bytes left that had been held up, since this was last asked.
    pub(super) fn has_resumed(&self) -> bool {
        let resumed = self.0.resumed.load(Ordering::Relaxed);
        if resumed {
            self.0.resumed.store(false, Ordering::Relaxed);
        }
        resumed
    }

    fn add_bytes(&self, count: usize) {
        self.0.bytes.store(self.get() + count as u64, Ordering::Relaxed);
    }

    /// Counts what `write` says it wrote.
    fn count(&self, write: impl FnOnce() -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let unknown = Unknown(self);
        let written = write();
        std::mem::forget(unknown);
        if let Poll::Ready(Ok(count)) = written {
            self.add_bytes(count);
            if self.is_stuck() && count > 0 {
                self.0.resumed.store(true, Ordering::Relaxed);
            }
        }
        self.0.stuck.store(!matches!(written, Poll::Ready(Ok(1..))), Ordering::Relaxed);
        written
    }
}

/// What a wire took that panicked is not known: its drop counts as a byte.
struct Unknown<'a>(&'a Written);

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        self.0.add_bytes(1);
        self.0.0.stuck.store(true, Ordering::Relaxed);
    }
}

/// How much is read at once, in bytes: hyper's own buffer.
const CHUNK: usize = 8 << 10;

pub(super) struct Counted {
    wire: Box<dyn Wire>,
    written: Written,
    /// A wire reads into memory that is set; hyper's is not, and setting it anew for each look would cost more than the read.
    chunk: Box<[u8]>,
}

impl Counted {
    pub(super) fn new(wire: Box<dyn Wire>, written: Written) -> Self {
        Self { wire, written, chunk: vec![0; CHUNK].into() }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<&[u8]>> {
        let most = most.min(self.chunk.len());
        let read = ready!(self.wire.poll_read(cx, &mut self.chunk[..most]))?;
        Poll::Ready(Ok(&self.chunk[..read]))
    }

    fn abort(&mut self) {
        self.wire.abort();
        self.written.add_bytes(self.wire.unreported());
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(self.get_mut().poll_chunk(cx, buf.remaining()))?;
        buf.put_slice(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.written.count(|| this.wire.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.written.count(|| this.wire.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().wire.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().wire.poll_shutdown(cx)
    }
}

/// The stream of a connection, plain or under TLS, as hyper reads and writes it.
pub(super) enum Stream {
    Plain(Counted),
    Tls(Box<TokioIo<TlsStream<Counted>>>),
}

impl Stream {
    pub(super) fn abort(&mut self) {
        match self {
            Self::Plain(counted) => counted.abort(),
            Self::Tls(tls) => tls.inner_mut().get_mut().0.abort(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(counted) => {
                buf.put_slice(ready!(counted.poll_chunk(cx, buf.remaining()))?);
                Poll::Ready(Ok(()))
            }
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Plain(plain) => {
                let $inner = Pin::new(plain);
                $call
            }
            Stream::Tls(tls) => {
                let $inner = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_shutdown(cx))
    }
}

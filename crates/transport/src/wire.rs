//! The dial seam: who connects, and the bytes in between, for TCP, scripted IO and whatever carries HTTP/1.1.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use trunkline_core_types::{AttemptError, BoxFuture, Origin};

/// One connection's bytes, below TLS. Reads and writes follow the rules of `std::io`, as polls.
pub trait Wire: Send + Unpin + 'static {
    /// Reads into `buffer`; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes from `buffer`; what it reports as written may have left. A write that is pending or fails has taken nothing, unless
    /// [`Wire::unreported`] says so in the end; of one that panics something may have left.
    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes from several buffers at once.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty()).map_or(&[][..], |buffer| buffer);
        self.poll_write(cx, first)
    }

    /// Whether [`Wire::poll_write_vectored`] writes more than the first buffer: then the records of one TLS write leave together. Without
    /// TLS there is one buffer, head and body.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// Flushes what an inner layer holds back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the write side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes the drop that follows take back what has not left: nothing is delivered after it (on TCP: linger 0).
    fn abort(&mut self);

    /// Bytes that left although no write has reported them. Read once, after [`Wire::abort`]. Default 0, which is right for sockets; a
    /// wire whose writes finish elsewhere (a completion queue, another thread) counts what it could not take back.
    fn unreported(&mut self) -> usize {
        0
    }
}

/// Connects to an origin.
pub trait Dial: Debug + Send + Sync + 'static {
    /// A fresh connection. The caller bounds the time by dropping the future.
    ///
    /// # Errors
    /// `Resolve` or `Connect`.
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>>;
}

//! TCP behind the dial seam.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use trunkline_core_types::{AttemptError, BoxFuture, FailureKind, Origin};

use crate::{Dial, Wire};

/// Connects over TCP with Nagle's delay off, trying the name's addresses in order.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TcpDial {}

impl TcpDial {
    /// The dialler; it holds nothing.
    pub fn new() -> Self {
        Self {}
    }
}

impl Dial for TcpDial {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            let stream = connect(origin).await?;
            stream.set_nodelay(true).map_err(refused)?;
            Ok(Box::new(TcpWire(stream)) as Box<dyn Wire>)
        })
    }
}

async fn connect(origin: &Origin) -> Result<TcpStream, AttemptError> {
    let host = origin.host().trim_matches(['[', ']']);
    let unresolved = |error: Option<io::Error>| {
        let made = AttemptError::new(FailureKind::Resolve, "the host's name has no address; check base_url");
        error.map_or_else(|| made.clone(), |error| made.clone().with_source(error))
    };
    let addresses = lookup_host((host, origin.port())).await.map_err(|error| unresolved(Some(error)))?;
    let mut last = unresolved(None);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = refused(error),
        }
    }
    Err(last)
}

fn refused(error: io::Error) -> AttemptError {
    AttemptError::new(FailureKind::Connect, "no connection to the host; check base_url and the network")
        .with_source(error)
}

#[derive(Debug)]
struct TcpWire(TcpStream);

impl Wire for TcpWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buffer);
        let read = std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut target));
        Poll::Ready(read.map(|()| target.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn abort(&mut self) {
        // Without it the kernel still delivers what it has accepted, up to minutes after the verdict.
        if let Err(error) = self.0.set_zero_linger() {
            tracing::warn!(%error, "a socket could not be set to abort");
        }
    }
}

//! TCP behind the dial seam.

mod race;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use trunkline_core_types::{AttemptError, BoxFuture, Clock, FailureKind, Origin, SystemClock};

use crate::{Dial, Wire};

/// Connects over TCP with Nagle's delay off. A name's addresses are tried in the resolver's order, both families in turn; one that has
/// not answered after 250 ms gets the next beside it, and the first connection counts (RFC 8305).
#[derive(Debug, Clone)]
pub struct TcpDial {
    clock: Arc<dyn Clock>,
}

impl TcpDial {
    /// A dialler on the system's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// A dialler on this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Default for TcpDial {
    fn default() -> Self {
        Self::new()
    }
}

impl Dial for TcpDial {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            let stream = self.stream(origin).await?;
            stream.set_nodelay(true).map_err(refused)?;
            Ok(Box::new(TcpWire(stream)) as Box<dyn Wire>)
        })
    }
}

/// Turns a name into addresses.
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses of a DNS name, in the order to try them. The caller bounds the time by dropping the future.
    ///
    /// # Errors
    /// `Resolve`, also where there is none.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, AttemptError>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemResolve {}

impl SystemResolve {
    /// The resolver; it holds nothing.
    pub fn new() -> Self {
        Self {}
    }
}

impl Resolve for SystemResolve {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, AttemptError>> {
        Box::pin(async move { Ok(look_up(host, 0).await?.iter().map(SocketAddr::ip).collect()) })
    }
}

impl TcpDial {
    async fn stream(&self, origin: &Origin) -> Result<TcpStream, AttemptError> {
        let addresses = look_up(origin.host().trim_matches(['[', ']']), origin.port()).await?;
        let connected = race::race(addresses, &*self.clock, TcpStream::connect).await;
        connected.map_err(|last| last.map_or_else(unresolved, refused))
    }
}

/// The most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 64;

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, AttemptError> {
    let found = lookup_host((host, port)).await.map_err(|error| unresolved().with_source(error))?;
    let found: Vec<_> = found.take(MAX_ADDRESSES).collect();
    if found.is_empty() { Err(unresolved()) } else { Ok(found) }
}

fn unresolved() -> AttemptError {
    AttemptError::new(FailureKind::Resolve, "the host's name has no address; check base_url")
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
        #[cfg(trunkline_mutation)]
        if trunkline_core_types::Mutation::Lingers.is_on() {
            return;
        }
        // Without it the kernel still delivers what it has accepted, up to minutes after the verdict.
        if let Err(error) = self.0.set_zero_linger() {
            tracing::warn!(%error, "a socket could not be set to abort");
        }
    }
}

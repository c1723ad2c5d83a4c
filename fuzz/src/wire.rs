//! A connection whose other end says what the input says, on virtual time.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use trunkline_core_types::{AttemptError, BoxFuture, Origin};
use trunkline_transport::{Dial, Wire};

/// Runs on this thread in paused time, so that what never answers costs nothing.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() });
    let paused = || match Builder::new_current_thread().enable_time().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    };
    RUNTIME.with(|runtime| runtime.get_or_init(paused).block_on(future))
}

/// What both ends know of one connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// What is still to be read.
    to_say: VecDeque<u8>,
    /// How much of it comes at once.
    chunk: usize,
    /// Whether the connection stays open when everything was said.
    stays: bool,
    /// Nothing is said before this many bytes came.
    listens: usize,
    pub(crate) heard: Vec<u8>,
    pub(crate) told: usize,
    pub(crate) dialled: usize,
}

/// A dialler to one [`Peer`]; its first connection speaks, later ones are silent.
#[derive(Debug, Clone)]
pub(crate) struct PeerDial(Arc<Mutex<Peer>>);

impl PeerDial {
    pub(crate) fn new(says: &[u8], chunk: usize, stays: bool, listens: usize) -> Self {
        let to_say = says.iter().copied().collect();
        Self(Arc::new(Mutex::new(Peer { to_say, chunk: chunk.max(1), stays, listens, ..Peer::default() })))
    }

    pub(crate) fn peer(&self) -> std::sync::MutexGuard<'_, Peer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial for PeerDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        self.peer().dialled += 1;
        let wire: Box<dyn Wire> = Box::new(PeerWire(self.clone()));
        Box::pin(std::future::ready(Ok(wire)))
    }
}

struct PeerWire(PeerDial);

impl Wire for PeerWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut peer = self.0.peer();
        if peer.heard.len() < peer.listens || peer.to_say.is_empty() && peer.stays {
            // Whoever writes wakes the same task.
            let _ = cx;
            return Poll::Pending;
        }
        let count = buffer.len().min(peer.chunk).min(peer.to_say.len());
        for place in &mut buffer[..count] {
            *place = peer.to_say.pop_front().unwrap_or_default();
        }
        peer.told += count;
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.0.peer().heard.extend_from_slice(buffer);
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

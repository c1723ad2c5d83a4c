//! Live connections between attempts. Nothing drives them meanwhile; they are looked at when they are taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::io::{Stream, Written};

/// One connection with both its ends.
pub(super) struct Live {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) connection: Box<Connection<TokioIo<Stream>, Full<Bytes>>>,
    pub(super) written: Written,
    /// The connection's future has ended; it must not be polled again.
    pub(super) ended: bool,
}

impl Live {
    /// Drives the connection; true once it has ended.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.ended {
            self.ended = Pin::new(&mut *self.connection).poll(cx).is_ready();
        }
        self.ended
    }

    /// Closes the socket so that nothing written so far is delivered any more, and tells how much the connection wrote.
    pub(super) fn abort(self) -> u64 {
        let Self { sender, connection, written, .. } = self;
        let mut stream = connection.into_parts().io.into_inner();
        stream.abort();
        drop(stream);
        drop(sender);
        written.get()
    }

    fn is_usable(&mut self) -> bool {
        // One look without a waker: a FIN, a reset or an unsolicited reply shows here and not as an unknown outcome.
        !self.poll_ended(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }
}

pub(super) struct Pool {
    idle: Mutex<Vec<(Live, Instant)>>,
    max_idle: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self { idle: Mutex::default(), max_idle, idle_timeout }
    }

    /// The most recently used connection that is still good; the dead ones on the way are dropped.
    pub(super) fn take(&self, now: Instant) -> Option<Live> {
        loop {
            let (mut live, since) = self.lock().pop()?;
            if self.is_fresh(since, now) && live.is_usable() {
                return Some(live);
            }
        }
    }

    pub(super) fn has_fresh(&self, now: Instant) -> bool {
        self.lock().last().is_some_and(|(_, since)| self.is_fresh(*since, now))
    }

    /// Keeps a connection for the next attempt, unless it ended or the pool is full; drops what got too old.
    pub(super) fn put(&self, live: Live, now: Instant) {
        if live.ended || live.sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        // Oldest first, since connections are put at the end.
        let old = idle.iter().take_while(|(_, since)| !self.is_fresh(*since, now)).count();
        let dropped: Vec<_> = idle.drain(..old).collect();
        if idle.len() < self.max_idle {
            idle.push((live, now));
        }
        drop(idle);
        drop(dropped);
    }

    fn is_fresh(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) < self.idle_timeout
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Live, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Live connections between attempts. Nothing drives them meanwhile; they are looked at when they are taken.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Connection, SendRequest};
use tokio::runtime::{self, Handle};
use tokio::task::unconstrained;
use trunkline_core_types::Operation;

use super::io::{Stream, Written};
use super::timer::Alarm;
use crate::Reuse;

/// One connection with both its ends.
pub(super) struct Live {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) connection: Connection<Stream, Full<Bytes>>,
    pub(super) written: Written,
    /// It waited in the pool, so the server may have closed it unseen.
    pub(super) pooled: bool,
    /// The connection's future has ended; it must not be polled again.
    pub(super) ended: bool,
    /// It has carried a request. Only then can the server's idle timer, or its limit of requests, close it under the next one.
    pub(super) served: bool,
    /// Connected, or handed out last: before that the server's idle time cannot have begun.
    pub(super) idle_since: Instant,
    /// The timer of its last attempt, for the next one.
    pub(super) alarm: Option<Alarm>,
    /// Who wakes whoever waits for its socket and its timer. Elsewhere a reply, and the end of its time, would come only once that runtime
    /// is driven.
    runtime: Option<runtime::Id>,
}

impl Live {
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        connection: Connection<Stream, Full<Bytes>>,
        written: Written,
        idle_since: Instant,
    ) -> Self {
        let (pooled, ended, served, alarm, runtime) = (false, false, false, None, here());
        Self { sender, connection, written, pooled, ended, served, idle_since, alarm, runtime }
    }

    /// Drives the connection; true once it has ended.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
        self.ended
    }

    /// The same outside of tokio's budget: to a task that has used it up every socket reads as pending, whatever came or could leave.
    pub(super) fn poll_ended_at_once(&mut self, cx: &mut Context<'_>) -> bool {
        let mut drive = unconstrained(poll_fn(|cx| Poll::Ready(self.poll_ended(cx))));
        Pin::new(&mut drive).poll(cx) == Poll::Ready(true)
    }

    /// Closes the socket so that nothing written so far is delivered any more, and tells how much the connection wrote.
    pub(super) fn abort(self: Box<Self>) -> u64 {
        let Self { sender, connection, written, .. } = *self;
        let mut stream = connection.into_parts().io;
        stream.abort();
        drop(stream);
        drop(sender);
        written.get()
    }

    /// Counts early or lives on, where that is the mutation.
    #[cfg(trunkline_mutation)]
    pub(super) fn given_up(mut self: Box<Self>) -> u64 {
        use trunkline_core_types::Mutation;
        let bytes = self.written.get();
        if !Mutation::WritesGoOn.is_on() {
            let late = self.abort();
            return if Mutation::CountedEarly.is_on() { bytes } else { late };
        }
        tokio::spawn(std::future::poll_fn(move |cx| match self.poll_ended(cx) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }));
        bytes
    }

    fn is_usable(&mut self) -> bool {
        // One look without a waker: a FIN, a reset or an unsolicited reply shows here and not as an unknown outcome.
        !self.poll_ended_at_once(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }
}

/// The runtime that the caller runs in.
fn here() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// Servers keep an idle connection for some seconds at least.
const MOMENT: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    idle: Mutex<VecDeque<Box<Live>>>,
    max_idle: usize,
    idle_timeout: Duration,
    reuse: Reuse,
}

impl Pool {
    pub(super) fn new(max_idle: usize, idle_timeout: Duration, reuse: Reuse) -> Self {
        Self { idle: Mutex::default(), max_idle, idle_timeout, reuse }
    }

    /// The most recently used connection of the caller's runtime that is still good for this operation; the dead ones on the way are
    /// dropped.
    pub(super) fn take(&self, operation: Operation, now: Instant) -> Option<Box<Live>> {
        let here = here();
        loop {
            let mut live = self.pop(operation, here)?;
            if self.is_fresh(&live, now) && live.is_usable() {
                return Some(live);
            }
        }
    }

    /// Whether this operation would take one that was in use a moment ago: it is not looked at, since no server's idle time is that
    /// short, and whoever takes it looks.
    pub(super) fn has_recent(&self, operation: Operation, now: Instant) -> bool {
        let (here, idle) = (here(), self.lock());
        let next = self.find(&idle, operation, here).and_then(|at| idle.get(at));
        next.is_some_and(|live| self.is_fresh(live, now) && now < live.idle_since + MOMENT)
    }

    fn pop(&self, operation: Operation, here: Option<runtime::Id>) -> Option<Box<Live>> {
        let mut idle = self.lock();
        self.find(&idle, operation, here).and_then(|at| idle.remove(at))
    }

    fn find(
        &self,
        idle: &VecDeque<Box<Live>>,
        operation: Operation,
        here: Option<runtime::Id>,
    ) -> Option<usize> {
        let last = |good: fn(&Live) -> bool| idle.iter().rposition(|live| live.runtime == here && good(live));
        match (self.reuse, operation) {
            (Reuse::Always, _) => last(|_| true),
            (Reuse::Never, _) | (Reuse::NeverForCreates, Operation::Create) => last(|live| !live.served),
            // What was warmed is left to the creates.
            (Reuse::NeverForCreates, _) => last(|live| live.served).or_else(|| last(|_| true)),
        }
    }

    /// Keeps a connection for the next attempt, unless it ended or may not serve again; drops what got too old at the old end, and the
    /// oldest where the pool is full.
    pub(super) fn put(&self, mut live: Box<Live>, now: Instant) {
        let spent = live.served && self.reuse == Reuse::Never;
        // One that was made ahead waits for its create in any case.
        let room = if live.served { self.max_idle } else { self.max_idle.max(1) };
        if live.ended || live.sender.is_closed() || spent || room == 0 {
            return;
        }
        live.pooled = true;
        let mut dropped = Vec::new();
        let mut idle = self.lock();
        while idle.front().is_some_and(|oldest| idle.len() >= room || !self.is_fresh(oldest, now)) {
            dropped.extend(idle.pop_front());
        }
        idle.push_back(live);
        drop(idle);
        drop(dropped);
    }

    fn is_fresh(&self, live: &Live, now: Instant) -> bool {
        now < live.idle_since + self.idle_timeout
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<Live>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A stream of calls in, a stream of keyed results out.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use trunkline_core_types::{BoxFuture, Deadline, Evidence, IdempotencyKey};

use crate::inner::Inner;
use crate::job::{Job, MAX_TIME};
use crate::place::place;
use crate::{Error, Order, Placed};

/// Calls taken ahead of the pacer: enough to keep its line from running dry, few enough to take no more than it serves.
const AHEAD: usize = 8;

/// The results of [`Client::place_all`](crate::Client::place_all), in the order in which they come.
#[must_use = "nothing is placed until the stream is polled"]
pub struct PlaceAll {
    inner: Arc<Inner>,
    orders: Option<Pin<Box<dyn Stream<Item = Order> + Send>>>,
    running: FuturesUnordered<BoxFuture<'static, (IdempotencyKey, Result<Placed, Error>)>>,
    waiting: Vec<Waiting>,
}

/// A call that has no permit yet.
struct Waiting {
    evidence: Evidence,
    running: Weak<()>,
}

impl PlaceAll {
    pub(crate) fn new(inner: Arc<Inner>, orders: Pin<Box<dyn Stream<Item = Order> + Send>>) -> Self {
        let (running, waiting) = (FuturesUnordered::new(), Vec::with_capacity(AHEAD));
        Self { inner, orders: Some(orders), running, waiting }
    }

    /// Takes orders while the line in front of the pacer is short.
    fn take_orders(&mut self, cx: &mut Context<'_>) {
        self.forget_started();
        while self.has_room() {
            let Some(orders) = &mut self.orders else { return };
            match orders.as_mut().poll_next(cx) {
                Poll::Ready(Some(order)) => self.start(order),
                Poll::Ready(None) => self.orders = None,
                Poll::Pending => return,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < AHEAD && self.running.len() < self.inner.bulk.concurrency
    }

    fn forget_started(&mut self) {
        self.waiting.retain(|call| call.evidence.permitted().is_none() && call.running.strong_count() > 0);
    }

    fn start(&mut self, order: Order) {
        let inner = self.inner.clone();
        let then = order.timeout.unwrap_or(inner.first_route().total).min(MAX_TIME);
        let deadline = Deadline::AfterPermit { wait_until: inner.shared.clock.now() + inner.bulk.wait, then };
        let (evidence, running) = (Evidence::new(), Arc::new(()));
        self.waiting.push(Waiting { evidence: evidence.clone(), running: Arc::downgrade(&running) });
        let job = Job::new(&inner, order, deadline, evidence);
        self.running.push(Box::pin(async move {
            let _running = running;
            let (key, now) = (job.key.clone(), inner.shared.clock.now());
            (key, place(&inner, job, now).await)
        }));
    }
}

impl Stream for PlaceAll {
    type Item = (IdempotencyKey, Result<Placed, Error>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.take_orders(cx);
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(result)) => return Poll::Ready(Some(result)),
                Poll::Ready(None) if self.orders.is_none() => return Poll::Ready(None),
                Poll::Ready(None) => return Poll::Pending,
                Poll::Pending => {}
            }
            // A call that just got its permit makes room for the next order.
            let waited = self.waiting.len();
            self.forget_started();
            if self.orders.is_none() || self.waiting.len() == waited || !self.has_room() {
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for PlaceAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, waiting) = (self.running.len(), self.waiting.len());
        f.debug_struct("PlaceAll")
            .field("running", &running)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

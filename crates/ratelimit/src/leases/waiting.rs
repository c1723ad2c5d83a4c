//! The future of one who takes a lease.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trunkline_core_types::{BoxFuture, Denied};

use super::Inner;
use super::table::{Request, Step};

pub(super) struct Taking<'a> {
    leases: &'a Inner,
    request: Request<'a>,
    deadline: Instant,
    place: Option<u64>,
    timer: Option<(u64, BoxFuture<'static, ()>)>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(leases: &'a Inner, holder: &'a str, deadline: Instant, ttl: Duration) -> Self {
        let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        let request = Request { holder, deadline: leases.since_origin(deadline), ttl };
        Self { leases, request, deadline, place: None, timer: None }
    }

    /// Ready when the timer for `until` has fired.
    fn sleep(&mut self, until: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.as_ref().is_none_or(|(at, _)| *at != until) {
            let at = match until >= self.request.deadline {
                true => self.deadline,
                false => self.leases.origin + Duration::from_nanos(until),
            };
            self.timer = Some((until, self.leases.clock.sleep_until(at)));
        }
        let fired = match &mut self.timer {
            Some((_, timer)) => timer.as_mut().poll(cx),
            None => Poll::Ready(()),
        };
        if fired.is_ready() {
            self.timer = None;
        }
        fired
    }
}

impl Future for Taking<'_> {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        loop {
            let now = me.leases.now();
            let (step, next) = me.leases.table().ask(now, me.place, me.request, cx.waker());
            if let Some(next) = next {
                next.wake();
            }
            match step {
                Step::Wait { id, until } => {
                    me.place = Some(id);
                    if me.sleep(until, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Step::Taken => {
                    me.place = None;
                    return Poll::Ready(Ok(()));
                }
                Step::Denied(denied) => {
                    me.place = None;
                    return Poll::Ready(Err(denied));
                }
            }
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let next = self.place.and_then(|id| self.leases.table().leave(id));
        if let Some(next) = next {
            next.wake();
        }
    }
}

//! The future of one request: it drives the line itself, no task does.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use trunkline_core_types::{Ask, BoxFuture, Denied, Permit};

use super::Inner;
use super::schedule::{Request, Step};

pub(super) struct Waiting<'a> {
    pacer: &'a Arc<Inner>,
    ask: Ask,
    request: Request,
    place: Option<Place>,
}

struct Place {
    id: u64,
    arrived: u64,
    timer: Option<(u64, BoxFuture<'static, ()>)>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(pacer: &'a Arc<Inner>, ask: Ask) -> Self {
        Self { pacer, ask, request: pacer.request(ask), place: None }
    }

    /// Leaves the line behind; how long it was in it.
    fn arrived(&mut self, now: u64) -> u64 {
        self.place.take().map_or(now, |place| place.arrived)
    }

    /// Keeps the place and its timer; ready if the timer has fired.
    fn sleep(&mut self, now: u64, id: u64, until: u64, cx: &mut Context<'_>) -> Poll<()> {
        let place = self.place.get_or_insert(Place { id, arrived: now, timer: None });
        if place.timer.as_ref().is_none_or(|(at, _)| *at != until) {
            let at =
                if until >= self.request.deadline { self.ask.deadline } else { self.pacer.instant(until) };
            place.timer = Some((until, self.pacer.clock.sleep_until(at)));
        }
        match &mut place.timer {
            Some((_, timer)) => {
                let fired = timer.as_mut().poll(cx);
                if fired.is_ready() {
                    place.timer = None;
                }
                fired
            }
            None => Poll::Ready(()),
        }
    }
}

impl Future for Waiting<'_> {
    type Output = Result<Permit, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        loop {
            let (mut schedule, now) = me.pacer.at_now();
            let (step, next) = match &me.place {
                None => schedule.arrive(now, me.request, cx.waker()),
                Some(place) => schedule.look(now, place.id, me.request, cx.waker()),
            };
            drop(schedule);
            if let Some(next) = next {
                next.wake();
            }
            match step {
                Step::Granted(grant) => {
                    let arrived = me.arrived(now);
                    return Poll::Ready(Ok(me.pacer.permit(grant, me.ask.lane, arrived, now)));
                }
                Step::Denied(denied) => {
                    me.arrived(now);
                    return Poll::Ready(Err(me.pacer.denied(denied, me.ask.lane)));
                }
                Step::Wait { id, until } => match me.sleep(now, id, until, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {}
                },
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.pacer.leave(place.id, self.ask.lane);
        }
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("ask", &self.ask).finish_non_exhaustive()
    }
}

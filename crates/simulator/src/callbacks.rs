//! Callbacks out: one task tells every change of status to the call's `callback_url`, signed, until somebody answers 2xx.

mod deliver;
mod event;
mod faults;
mod outbox;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use trunkline_core_types::ClockExt;

pub(crate) use deliver::Target;
pub use faults::{CallbackFault, CallbackFaults};
pub(crate) use outbox::Outbox;

use crate::api::{Api, State};
use crate::signature;
use event::{Event, news};
use outbox::Job;

/// Events under way at once, of different calls: the events of one call are sent one after another.
const MAX_DELIVERIES: usize = 32;
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long an event is repeated, as the contract says.
const REPEATED: Duration = Duration::from_secs(24 * 3600);
/// The longest pause between two sends of one event.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// An event on its way, and how its last send ended.
type Sent = (Arc<Event>, u32, bool);

impl Api {
    /// A call was placed or changed: tell its receiver soon.
    pub(crate) fn ring_bell(&self, state: &mut State, index: usize, now: Instant) {
        if state.calls.at(index).is_some_and(|call| call.target.is_some()) {
            state.outbox.push(now, Job::Look(index));
            self.bell.notify_one();
        }
    }

    /// Looks at a call: its news go to the outbox, and the next look with them.
    fn look(&self, state: &mut State, index: usize, now: Instant) {
        let Some((news, next)) = news(&mut state.calls, &self.manners.life, index, now, &*self.entropy)
        else {
            return;
        };
        for event in news {
            let event = Arc::new(event);
            let fault = state.outbox.draw();
            if let Some(fault) = fault {
                *state.tally.faults.entry(fault.name()).or_default() += 1;
            }
            let copies = match fault {
                Some(CallbackFault::Lost) => 0,
                Some(CallbackFault::Twice) => 2,
                _ => 1,
            };
            let at = match (fault, next) {
                (Some(CallbackFault::Late(by)), _) => now.checked_add(by).unwrap_or(now),
                // Behind the event of the next step, which is made and sent at once when its time comes.
                (Some(CallbackFault::Reordered), Some(next)) => next + Duration::from_millis(50),
                _ => now,
            };
            for _ in 0..copies {
                state.outbox.push(at, Job::Send(event.clone(), 0));
            }
        }
        if let Some(next) = next {
            state.outbox.push(next, Job::Look(index));
        }
    }

    /// Starts what is due; when to look again.
    fn start_due(self: &Arc<Self>, deliveries: &mut JoinSet<Sent>) -> Option<Instant> {
        let now = self.clock.now();
        let mut state = self.state();
        while deliveries.len() < MAX_DELIVERIES
            && let Some(job) = state.outbox.pop_due(now)
        {
            match job {
                Job::Look(index) => self.look(&mut state, index, now),
                Job::Send(event, sends) => {
                    state.tally.events_sent += 1;
                    deliveries.spawn(send(self.clone(), event, sends + 1));
                }
            }
        }
        match deliveries.len() < MAX_DELIVERIES {
            true => state.outbox.next_due(),
            false => None,
        }
    }

    fn sent(&self, (event, sends, acknowledged): Sent) {
        let mut state = self.state();
        state.outbox.free(event.call);
        if acknowledged {
            state.tally.events_acknowledged += 1;
            return;
        }
        let pause = self.manners.callback_pause.saturating_mul(1 << (sends - 1).min(20)).min(MAX_PAUSE);
        let next = self.clock.now() + pause;
        if next.saturating_duration_since(event.made) <= REPEATED {
            state.outbox.push(next, Job::Send(event, sends));
        }
    }
}

/// One send. The secret is the first that is still accepted: the one that a client in the middle of a rotation knows for sure.
async fn send(api: Arc<Api>, event: Arc<Event>, sends: u32) -> Sent {
    let header = {
        let account = api.account.read().unwrap_or_else(PoisonError::into_inner);
        account.pairs.first().and_then(|pair| signature::sign(&pair.secret, &event.body))
    };
    let until = api.clock.now() + PATIENCE;
    let posted = api.clock.bounded(until, deliver::post(&event.target, &event.body, header)).await;
    let acknowledged = posted.flatten().is_some_and(|status| status.is_success());
    (event, sends, acknowledged)
}

/// Sends events until `stop` is told; what is under way then is dropped.
pub(crate) async fn run(api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let mut deliveries = JoinSet::new();
    let mut stopped = pin!(stop.wait_for(|stopped| *stopped));
    loop {
        let due = api.start_due(&mut deliveries);
        let mut timer = due.map(|at| api.clock.sleep_until(at));
        let mut bell = pin!(api.bell.notified());
        let ended = poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(()));
            }
            if let Poll::Ready(Some(sent)) = deliveries.poll_join_next(cx) {
                return Poll::Ready(Ok(sent.ok()));
            }
            let rung = bell.as_mut().poll(cx).is_ready();
            let due = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if rung || due { Poll::Ready(Ok(None)) } else { Poll::Pending }
        });
        match ended.await {
            Err(()) => return,
            Ok(sent) => sent.into_iter().for_each(|sent| api.sent(sent)),
        }
    }
}

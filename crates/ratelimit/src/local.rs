//! The pacer of one process.

mod line;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod schedule;
mod slot;
mod slowdown;
mod waiting;

use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Ask, BoxFuture, Clock, Denied, Fact, Lane, Observer, Pacer, Permit, Rate, Signal,
};

use self::schedule::{Limits, Request, Schedule, Step};
use self::slot::Held;
use self::slowdown::Slowdown;
use self::waiting::Waiting;
use crate::sync::{Mutex, MutexGuard};
use crate::{Gcra, Grant, LocalPacerSettings};

/// Paces everybody in this process who holds a clone of it.
///
/// **Bound.** Starts that keep to [`Permit::start_by`] number at most `burst + floor((W + tolerance) / interval)` in any closed
/// window of length `W`, whatever is dropped, given back, paused or refused meanwhile. After a change of rate the bound holds for
/// windows on either side of it with their own interval, and across it with the shorter one.
///
/// **Order.** Interactive before bulk, in each lane as they came. Only the first in line has a timer on the next slot, and it holds
/// nothing: when it wakes it looks again, so that a pause, another rate or a more urgent request counts at once. One who is dropped
/// leaves no hole. A lane of interactive requests at the full rate starves bulk; within a lane nobody is overtaken, except one whose future is
/// not polled for a tolerance after it was called: it is passed by and comes back to its place when it is polled. Others notice it at the
/// next arrival, ended permit or deadline.
///
/// **Refusals.** Whose turn comes after its deadline, if everybody ahead is served, is refused at once, also in the middle of the wait when a
/// pause moves its turn. The wait in the refusal is exact for the first in line and a lower bound behind it.
///
/// A permit is granted at or after its slot, never before; its `start_by` is the slot plus the tolerance. A slot that a late timer missed
/// is caught up while it is less than half a tolerance old; time in which nobody waited is not caught up beyond the burst.
///
/// Handles are cheap to clone. No task is spawned: futures drive the line. Rates above 1,000 a second are served in groups per millisecond.
#[derive(Debug, Clone)]
pub struct LocalPacer {
    inner: Arc<Inner>,
}

/// A look at a [`LocalPacer`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The present rate.
    pub rate: Rate,
    /// Who waits in the interactive lane.
    pub interactive: usize,
    /// Who waits in the bulk lane.
    pub bulk: usize,
    /// Permits that are out.
    pub in_flight: u32,
    /// Permits granted so far.
    pub permitted: u64,
    /// How long the present pause lasts; zero without one.
    pub paused: Duration,
    /// Whether it was shut down.
    pub closed: bool,
}

impl LocalPacer {
    /// The longest pause a [`Signal::Throttled`] can set: one hour. A longer one is cut to it.
    pub const MAX_PAUSE: Duration = Duration::from_secs(3_600);

    pub(crate) fn new(settings: LocalPacerSettings) -> Self {
        let tolerance = settings.tolerance.as_nanos() as u64;
        let limits = Limits {
            queue: settings.queue,
            in_flight: settings.in_flight_max.map_or(u32::MAX, |max| max.get()),
            catch_up: tolerance / 2,
            grace: tolerance,
        };
        let mut schedule = Schedule::new(settings.rate, Gcra::new(settings.rate, settings.burst), limits);
        schedule.slowdown = settings.queue_bound.map(|bound| Slowdown::new(bound, settings.rate));
        let inner = Inner {
            slows_down: schedule.slowdown.is_some(),
            schedule: Mutex::new(schedule),
            told: Mutex::new(100),
            origin: settings.clock.now(),
            clock: settings.clock,
            tolerance: settings.tolerance,
            observer: settings.observer,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Another rate from now on. What was taken stays taken, counted in slots; whoever waits is served at the new rate,
    /// and whose turn moves past its deadline is refused. Permits that are out keep their `start_by`.
    pub fn set_rate(&self, rate: Rate) {
        let (mut schedule, now) = self.inner.at_now();
        let rate = schedule.slowdown.as_mut().map_or(rate, |slow| slow.set_pace(rate));
        let woken = schedule.set_rate(now, rate);
        drop(schedule);
        wake(woken);
    }

    /// The steps back up that are due.
    fn recover(&self) {
        if self.inner.slows_down {
            self.slow_down(Slowdown::recover);
        }
    }

    /// The rate at the share that `change` leaves, if it changed it.
    fn slow_down(&self, change: impl FnOnce(&mut Slowdown, u64) -> bool) {
        let (mut schedule, now) = self.inner.at_now();
        let Some(slow) = &mut schedule.slowdown else { return };
        if !change(slow, now) {
            return;
        }
        let rate = slow.rate();
        let woken = schedule.set_rate(now, rate);
        drop(schedule);
        wake(woken);
        self.inner.tell_share();
    }

    fn pause(&self, pause: Duration) {
        let pause = pause.min(Self::MAX_PAUSE);
        let (mut schedule, now) = self.inner.at_now();
        let woken = schedule.pause_until(now, now.saturating_add(pause.as_nanos() as u64));
        drop(schedule);
        wake(woken);
        self.inner.observer.saw(Fact::Throttled { pause });
    }

    /// Ends every wait and refuses whoever comes, with [`DeniedKind::Closed`](trunkline_core_types::DeniedKind::Closed).
    /// Permits that are out stay valid. It cannot be opened again.
    pub fn close(&self) {
        let woken = self.inner.schedule().close();
        wake(woken);
    }

    /// How many wait, in all lanes.
    pub fn waiting(&self) -> usize {
        let schedule = self.inner.schedule();
        Lane::ALL.into_iter().map(|lane| schedule.waiting(lane)).sum()
    }

    /// The present state, for a health page or a gauge.
    pub fn snapshot(&self) -> Snapshot {
        let (schedule, now) = self.inner.at_now();
        Snapshot {
            rate: schedule.rate,
            interactive: schedule.waiting(Lane::Interactive),
            bulk: schedule.waiting(Lane::Bulk),
            in_flight: schedule.in_flight,
            permitted: schedule.permitted,
            paused: Duration::from_nanos(schedule.pace.paused_until().saturating_sub(now)),
            closed: schedule.closed,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Pacer for LocalPacer {
    fn acquire(&self, ask: Ask) -> BoxFuture<'_, Result<Permit, Denied>> {
        self.recover();
        Box::pin(Waiting::new(&self.inner, ask))
    }

    fn acquire_at_once(&self, ask: Ask) -> Option<Result<Permit, Denied>> {
        self.recover();
        self.inner.at_once(ask)
    }

    /// A throttle pauses everybody from now on, until the later of this pause and the present one. Whoever was about to start waits anew;
    /// permits that were granted and not yet used are not recalled.
    ///
    /// A start that waited in the far side's queue longer than [`queue_bound`](LocalPacerSettings::queue_bound) takes the rate to three
    /// quarters, down to a tenth of the pace, at most once in the time that the queue needs to drain (1 s to 60 s). After each 10 s
    /// without such a signal it takes a step of a tenth back up, when somebody asks for a permit. Without a bound it changes nothing.
    fn feedback(&self, signal: Signal) {
        match signal {
            Signal::Throttled { pause } => self.pause(pause),
            Signal::Queued { waited } if self.inner.slows_down => self.slow_down(|slow, now| {
                // Steps that were due come first, so that the same signals give the same share whoever asks meanwhile.
                slow.recover(now) | slow.queued(now, waited)
            }),
            _ => {}
        }
    }
}

/// What a pacer's clones, waiters and permits share. No lock on the schedule is held while a waker or the observer runs.
#[derive(Debug)]
struct Inner {
    schedule: Mutex<Schedule>,
    /// The share that the observer knows of. Held while it is told, so that the last thing it hears is the present share.
    told: Mutex<u32>,
    /// Whether there is a bound on the far queue.
    slows_down: bool,
    clock: Arc<dyn Clock>,
    origin: Instant,
    tolerance: Duration,
    observer: Arc<dyn Observer>,
}

impl Inner {
    /// The schedule stays consistent between any two statements that could panic, so a poisoned lock is no reason to stop.
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schedule and the time, read under its lock so that it sees time in one order.
    fn at_now(&self) -> (MutexGuard<'_, Schedule>, u64) {
        let schedule = self.schedule();
        let now = self.now();
        (schedule, now)
    }

    fn now(&self) -> u64 {
        self.since_origin(self.clock.now())
    }

    fn since_origin(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    fn instant(&self, at: u64) -> Instant {
        self.origin + Duration::from_nanos(at)
    }

    fn request(&self, ask: Ask) -> Request {
        Request { cost: ask.cost.get(), lane: ask.lane, deadline: self.since_origin(ask.deadline) }
    }

    /// The answer, if it is not to wait.
    fn at_once(self: &Arc<Self>, ask: Ask) -> Option<Result<Permit, Denied>> {
        let request = self.request(ask);
        let (mut schedule, now) = self.at_now();
        let (answer, next) = schedule.at_once(now, request);
        drop(schedule);
        wake(next);
        match answer.ok()? {
            Step::Granted(grant) => Some(Ok(self.permit(grant, ask.lane, now, now))),
            Step::Denied(denied) => Some(Err(self.denied(denied, ask.lane))),
            Step::Wait { .. } => None,
        }
    }

    fn permit(self: &Arc<Self>, grant: Grant, lane: Lane, arrived: u64, now: u64) -> Permit {
        let start_by = self.instant(grant.slot()) + self.tolerance;
        let held = Box::new(Held { pacer: Arc::clone(self), grant });
        let permit = Permit::new(start_by, Some(held)).granted_at(self.instant(now));
        self.observer.saw(Fact::Permitted { lane, waited: Duration::from_nanos(now - arrived) });
        permit
    }

    fn denied(&self, denied: Denied, lane: Lane) -> Denied {
        self.observer.saw(Fact::Denied { lane, kind: denied.kind });
        denied
    }

    fn tell_share(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let percent = self.schedule().slowdown.as_ref().map_or(100, Slowdown::percent);
        if std::mem::replace(&mut *told, percent) != percent {
            self.observer.saw(Fact::PaceShare { percent });
        }
    }

    fn leave(&self, id: u64, lane: Lane) {
        let (mut schedule, now) = self.at_now();
        let next = schedule.leave(now, id, lane);
        drop(schedule);
        wake(next);
    }

    fn end(&self, grant: Grant, back: bool) {
        let mut schedule = self.schedule();
        let next = schedule.end(grant, back, || self.now());
        drop(schedule);
        wake(next);
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

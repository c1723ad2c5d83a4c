//! Who goes next, and when: the pacer's whole state, pure over the time it is handed.
//!
//! Nobody holds a slot while waiting. The first in line sleeps until the next slot and looks again when it wakes, so whatever
//! changed meanwhile counts at once, and one who leaves leaves no hole.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use trunkline_core_types::{Denied, DeniedKind, Lane, Rate};

use super::line::{Line, Waiter};
use super::slowdown::Slowdown;
use crate::{Gcra, Grant};

/// One request, in nanoseconds from the pacer's origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) cost: u32,
    pub(super) lane: Lane,
    pub(super) deadline: u64,
}

#[derive(Debug)]
pub(super) enum Step {
    Granted(Grant),
    Denied(Denied),
    /// Look again at `until`, which lies ahead, or when woken.
    Wait {
        id: u64,
        until: u64,
    },
}

/// The turn of a request that has to wait: whether it is the first in line, and its slot.
#[derive(Debug)]
pub(super) struct Later {
    first: bool,
    slot: u64,
}

#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) rate: Rate,
    pub(super) pace: Gcra,
    pub(super) in_flight: u32,
    pub(super) permitted: u64,
    pub(super) closed: bool,
    /// Where the far side's queue has a bound.
    pub(super) slowdown: Option<Slowdown>,
    lines: [Line; Lane::ALL.len()],
    /// Verdicts that wait for their waiter's next poll.
    refused: BTreeMap<u64, Denied>,
    next_id: u64,
    /// No slot before this: the last one, the last change of rate, the end of a time in which
    /// nobody could be served.
    floor: u64,
    /// The first in line and since when it is due.
    called: Option<(u64, u64)>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) queue: usize,
    pub(super) in_flight: u32,
    /// How far back a slot may lie that a late timer missed.
    pub(super) catch_up: u64,
    /// How long the first in line may fail to come before it is passed by.
    pub(super) grace: u64,
}

impl Schedule {
    pub(super) fn new(rate: Rate, pace: Gcra, limits: Limits) -> Self {
        Self {
            rate,
            pace,
            in_flight: 0,
            permitted: 0,
            closed: false,
            slowdown: None,
            lines: Default::default(),
            refused: BTreeMap::new(),
            next_id: 0,
            floor: 0,
            called: None,
            limits,
        }
    }

    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.lines[lane as usize].len()
    }

    /// A new request: granted, refused, or put at the end of its line.
    pub(super) fn arrive(&mut self, now: u64, ask: Request, waker: &Waker) -> (Step, Option<Waker>) {
        let (answer, next) = self.at_once(now, ask);
        let step = answer.unwrap_or_else(|Later { first, slot }| {
            let id = self.next_id;
            self.next_id += 1;
            let waiter =
                Waiter { cost: ask.cost, arrived: now, deadline: ask.deadline, waker: waker.clone() };
            self.lines[ask.lane as usize].push(id, waiter);
            if first {
                self.called = Some((id, slot));
            }
            Step::Wait { id, until: if first { slot } else { ask.deadline } }
        });
        (step, next)
    }

    /// A new request that joins no line: granted or refused, or when its turn would come.
    pub(super) fn at_once(&mut self, now: u64, ask: Request) -> (Result<Step, Later>, Option<Waker>) {
        if self.closed {
            return (Ok(denied(DeniedKind::Closed, None)), None);
        }
        let next = self.pass_by(now);
        let ahead = self.cells_up_to(ask.lane);
        let from = if ahead == 0 { now } else { self.earliest(now) };
        let Some(slot) = self.pace.slot(from, ahead, ask.cost).map(|slot| slot.max(now)) else {
            return (Ok(denied(DeniedKind::Never, None)), next);
        };
        let first = ahead == 0 && self.has_room();
        let step = if first && slot <= now && now <= ask.deadline {
            self.grant(now, ask.cost)
        } else if slot > ask.deadline || now >= ask.deadline {
            denied(DeniedKind::Deadline, Some(wait(&self.pace, now, slot)))
        } else if self.lines[ask.lane as usize].len() + self.refused.len() >= self.limits.queue {
            let first_slot = self.pace.slot(self.earliest(now), 0, 1).unwrap_or(slot);
            denied(DeniedKind::Full, Some(wait(&self.pace, now, first_slot)))
        } else {
            return (Err(Later { first, slot }), next);
        };
        (Ok(step), next)
    }

    /// A waiter looks at the schedule again.
    pub(super) fn look(&mut self, now: u64, id: u64, ask: Request, waker: &Waker) -> (Step, Option<Waker>) {
        if let Some(verdict) = self.refused.remove(&id) {
            return (Step::Denied(verdict), None);
        }
        let Some(waiter) = self.lines[ask.lane as usize].present(id) else {
            return (denied(DeniedKind::Closed, None), None);
        };
        waiter.waker.clone_from(waker);
        let arrived = waiter.arrived;
        if self.first().is_some_and(|(_, first)| first == id) {
            self.called = None;
        }
        let next = self.pass_by(now);
        let ahead = if self.lines[ask.lane as usize].first() == Some(id) {
            self.cells_before(ask.lane)
        } else {
            return self.behind(now, id, ask, next);
        };
        let from = self.earliest(now).max(arrived);
        let slot = self.pace.slot(from, ahead, ask.cost).unwrap_or(u64::MAX);
        let free = ahead == 0 && self.has_room();
        if free && slot <= now && now <= ask.deadline {
            self.lines[ask.lane as usize].remove(id);
            let step = self.grant(from, ask.cost);
            return (step, self.call(now));
        }
        if slot > ask.deadline || now >= ask.deadline {
            let verdict = denied(DeniedKind::Deadline, Some(wait(&self.pace, now, slot)));
            self.lines[ask.lane as usize].remove(id);
            return (verdict, self.call(now));
        }
        if free {
            self.called = Some((id, slot));
        }
        (Step::Wait { id, until: if free { slot } else { ask.deadline } }, next)
    }

    /// Somebody ahead in its own line. Its place there is not counted: a lower bound.
    fn behind(&mut self, now: u64, id: u64, ask: Request, next: Option<Waker>) -> (Step, Option<Waker>) {
        if now < ask.deadline {
            return (Step::Wait { id, until: ask.deadline }, next);
        }
        self.lines[ask.lane as usize].remove(id);
        let slot = self.pace.slot(now, self.cells_before(ask.lane), ask.cost).unwrap_or(u64::MAX);
        (denied(DeniedKind::Deadline, Some(wait(&self.pace, now, slot))), next)
    }

    /// A waiter gave up. Its place closes without a hole.
    pub(super) fn leave(&mut self, now: u64, id: u64, lane: Lane) -> Option<Waker> {
        let was_first = self.first().is_some_and(|(_, first)| first == id);
        self.refused.remove(&id);
        self.lines[lane as usize].remove(id);
        if was_first { self.call(now) } else { None }
    }

    /// A permit ended; `back` gives its cells back. The time is asked for only where somebody waits, or could not have been served.
    pub(super) fn end(&mut self, grant: Grant, back: bool, now: impl FnOnce() -> u64) -> Option<Waker> {
        let was_full = !self.has_room();
        self.in_flight = self.in_flight.saturating_sub(1);
        let sooner = back && self.pace.refund(grant);
        if !was_full && self.first().is_none() {
            return None;
        }
        let now = now();
        if was_full {
            self.floor = self.floor.max(now);
        }
        if was_full || sooner { self.call(now) } else { self.pass_by(now) }
    }

    /// Nobody starts before `until`; whose turn moves past its deadline is refused.
    pub(super) fn pause_until(&mut self, now: u64, until: u64) -> Vec<Waker> {
        self.pace.pause_until(until);
        self.reassess(now)
    }

    /// Another rate from now on; whose turn moves past its deadline is refused.
    pub(super) fn set_rate(&mut self, now: u64, rate: Rate) -> Vec<Waker> {
        self.rate = rate;
        self.pace.set_rate(now, rate);
        self.floor = self.floor.max(now);
        let mut woken = self.reassess(now);
        woken.extend(self.call(now));
        woken
    }

    /// Refuses everybody who waits and whoever comes.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        self.called = None;
        let mut woken = Vec::new();
        for (id, waiter) in self.lines.iter_mut().flat_map(Line::drain) {
            self.refused.insert(id, Denied { kind: DeniedKind::Closed, wait: None });
            woken.push(waiter.waker);
        }
        woken
    }

    fn reassess(&mut self, now: u64) -> Vec<Waker> {
        let from = self.earliest(now);
        let (pace, refused) = (&self.pace, &mut self.refused);
        let mut ahead = 0;
        let mut woken = Vec::new();
        let first = self.lines.iter().find_map(Line::first);
        for line in &mut self.lines {
            let judge = |waiter: &Waiter| {
                let slot = pace.slot(from.max(waiter.arrived), ahead, waiter.cost).unwrap_or(u64::MAX);
                if slot > waiter.deadline {
                    return Some(wait(pace, now, slot));
                }
                ahead += u64::from(waiter.cost);
                None
            };
            line.sift(judge, |id, waiter, wait| {
                refused.insert(id, Denied { kind: DeniedKind::Deadline, wait: Some(wait) });
                woken.push(waiter.waker);
            });
        }
        if self.lines.iter().find_map(Line::first) != first {
            woken.extend(self.call(now));
        }
        woken
    }

    /// Takes `cells` for the slot from `from` on, which the caller has found to be due.
    fn grant(&mut self, from: u64, cells: u32) -> Step {
        let Some(grant) = self.pace.reserve(from, cells) else {
            return denied(DeniedKind::Never, None);
        };
        self.floor = self.floor.max(grant.slot());
        self.in_flight += 1;
        self.permitted += 1;
        Step::Granted(grant)
    }

    fn has_room(&self) -> bool {
        self.in_flight < self.limits.in_flight
    }

    /// The earliest slot that may still be handed out: late timers catch up a little, idle time never.
    fn earliest(&self, now: u64) -> u64 {
        self.floor.max(now.saturating_sub(self.limits.catch_up))
    }

    fn cells_before(&self, lane: Lane) -> u64 {
        self.lines[..lane as usize].iter().map(Line::cells).sum()
    }

    fn cells_up_to(&self, lane: Lane) -> u64 {
        self.lines[..=lane as usize].iter().map(Line::cells).sum()
    }

    fn first(&self) -> Option<(Lane, u64)> {
        Lane::ALL.into_iter().find_map(|lane| Some((lane, self.lines[lane as usize].first()?)))
    }

    /// Whom to wake, because it has become the first or because its slot may be sooner.
    fn call(&mut self, now: u64) -> Option<Waker> {
        let (lane, id) = self.first()?;
        let since = match self.called {
            Some((called, due)) if called == id => due.min(now),
            _ => now,
        };
        self.called = Some((id, since));
        self.lines[lane as usize].waker(id).cloned()
    }

    /// Lets the next one go if the first was called and does not come: its future is held without being polled.
    fn pass_by(&mut self, now: u64) -> Option<Waker> {
        let (lane, id) = self.first()?;
        let (_, due) = self.called.filter(|(called, _)| *called == id)?;
        if now <= due.saturating_add(self.limits.grace) {
            return None;
        }
        self.lines[lane as usize].pass_by(id);
        self.floor = self.floor.max(now);
        self.call(now)
    }
}

fn denied(kind: DeniedKind, wait: Option<Duration>) -> Step {
    Step::Denied(Denied { kind, wait })
}

/// What to tell one whose turn is at `slot`. If that has come, something else is missing: one interval, so that nobody spins.
fn wait(pace: &Gcra, now: u64, slot: u64) -> Duration {
    match slot.saturating_sub(now) {
        0 => pace.interval(),
        wait => Duration::from_nanos(wait),
    }
}

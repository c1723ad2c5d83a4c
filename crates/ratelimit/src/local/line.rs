//! One lane's line: waiters in the order in which they came.

use std::collections::BTreeMap;
use std::task::Waker;

/// One who waits. Times are nanoseconds from the pacer's origin.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) cost: u32,
    pub(super) arrived: u64,
    pub(super) deadline: u64,
    pub(super) waker: Waker,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<u64, Waiter>,
    /// Called and did not come: their futures are not polled. They keep their place for when they are.
    absent: BTreeMap<u64, Waiter>,
    cells: u64,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.absent.len()
    }

    /// Cells that those who wait ask for, absent ones not counted.
    pub(super) fn cells(&self) -> u64 {
        self.cells
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    pub(super) fn push(&mut self, id: u64, waiter: Waiter) {
        self.cells += u64::from(waiter.cost);
        self.waiting.insert(id, waiter);
    }

    pub(super) fn waker(&self, id: u64) -> Option<&Waker> {
        self.waiting.get(&id).map(|waiter| &waiter.waker)
    }

    /// The waiter as it polls, back in its place if it was absent.
    pub(super) fn present(&mut self, id: u64) -> Option<&mut Waiter> {
        if let Some(waiter) = self.absent.remove(&id) {
            self.push(id, waiter);
        }
        self.waiting.get_mut(&id)
    }

    pub(super) fn pass_by(&mut self, id: u64) {
        if let Some(waiter) = self.waiting.remove(&id) {
            self.cells -= u64::from(waiter.cost);
            self.absent.insert(id, waiter);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        match self.waiting.remove(&id) {
            Some(waiter) => self.cells -= u64::from(waiter.cost),
            None => drop(self.absent.remove(&id)),
        }
    }

    /// Removes everybody whom `keep` refuses, in order, and hands them to `gone`.
    pub(super) fn sift<T>(
        &mut self,
        mut judge: impl FnMut(&Waiter) -> Option<T>,
        mut gone: impl FnMut(u64, Waiter, T),
    ) {
        let judged: Vec<_> =
            self.waiting.iter().filter_map(|(id, waiter)| Some((*id, judge(waiter)?))).collect();
        for (id, verdict) in judged {
            if let Some(waiter) = self.waiting.remove(&id) {
                self.cells -= u64::from(waiter.cost);
                gone(id, waiter, verdict);
            }
        }
    }

    /// Everybody, absent ones too; the line is empty afterwards.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, Waiter)> {
        self.cells = 0;
        std::mem::take(&mut self.waiting).into_iter().chain(std::mem::take(&mut self.absent))
    }
}

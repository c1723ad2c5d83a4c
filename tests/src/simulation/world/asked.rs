//! What reaches the provider.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use trunkline::BoxFuture;
use trunkline_core_types::Clock;

use super::{Probing, World};
use crate::simulation::Flaw;
use crate::simulation::book::refusal;
use crate::simulation::fate::{Acts, Fate};
use crate::simulation::findings::Invariant;
use crate::simulation::process::Pid;

impl World {
    pub(in crate::simulation) fn door_is_shut(&self, account: usize) -> bool {
        self.faults.door_is_shut(account, self.now())
    }

    /// What becomes of the request that begins now.
    pub(in crate::simulation) fn fate(&self, account: usize, key: &str) -> (u64, Fate) {
        let number = self.state().book.number(key);
        let mut fate = self.faults.fate(account, key, number);
        let (from, until) = self.plan.outage;
        if (from..until).contains(&self.now()) && self.faults.happens(|| "outage".to_owned()) {
            fate.acts = Acts::No(503);
        }
        if let Some(probing) = &*self.probing.lock().unwrap() {
            fate.acts = if probing.account == account { Acts::Yes } else { Acts::No(402) };
        }
        let who = if self.faults.are_over() { "probe" } else { "fault" };
        self.tell(who, Some(key), || format!("request {number} at account {account}: {fate}"));
        (number, fate)
    }

    /// The first byte of a create came, which the client began to write at `began`.
    pub(in crate::simulation) fn starts(&self, by: Pid, account: usize, key: &str, began: Instant) {
        self.note(account as u64);
        let at = self.now().saturating_sub(self.clock.now().saturating_duration_since(began));
        let mut state = self.state();
        let starts = state.starts.entry((account, by)).or_default();
        let (within, paused) = (starts.add(&self.plan, at), starts.in_pause(&self.plan, at));
        drop(state);
        if !within {
            self.found(
                Invariant::Pace,
                Some(key),
                format!("a start of {by} at account {account} above the bound"),
            );
        }
        if paused {
            let words = format!("a start of {by} at account {account} in a pause that it was asked for");
            self.found(Invariant::Pace, Some(key), words);
        }
    }

    /// Some bytes of a create were taken.
    pub(in crate::simulation) fn took(&self, by: Pid, key: &str) {
        let wrong = self.state().watch.byte(by, key, self.plan.keyed);
        self.check(key, wrong);
    }

    /// Acts on a whole create; gives the reply.
    pub(in crate::simulation) fn create(&self, key: &str, body: &str, acts: Acts) -> String {
        let hash = |text: &str| text.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        self.note(hash(key));
        let wrong = self.state().watch.whole(key, hash(body));
        self.check(key, wrong);
        let (reply, rung) = {
            let mut state = self.state();
            let flawed = self.flaw == Some(Flaw::RefusesYetRings) && !self.faults.are_over();
            if flawed && matches!(acts, Acts::No(_)) {
                state.book.ring(key);
            }
            (state.book.create(key, acts), state.book.times_rung(key))
        };
        let status = || reply.get(9..12).unwrap_or("nothing").to_owned();
        self.tell("provider", Some(key), || format!("has rung {rung} times and will answer {}", status()));
        if rung > 1 && matches!(acts, Acts::Yes | Acts::YesAnswers(_)) {
            self.found(Invariant::Duplicates, Some(key), format!("rung {rung} times"));
        }
        reply
    }

    /// Answers a request that places no call.
    pub(in crate::simulation) fn read(&self, _target: &str, acts: Acts) -> String {
        match acts {
            Acts::Yes => refusal(404),
            Acts::YesAnswers(status) | Acts::No(status) => refusal(status),
            Acts::Silent => String::new(),
        }
    }

    /// When a reply may leave: after its delay, and in the end when all that must be in flight are.
    pub(in crate::simulation) fn reply_time(
        &self,
        account: usize,
        delay: Duration,
    ) -> BoxFuture<'static, ()> {
        let probing = self.probing.lock().unwrap().clone().filter(|probing| probing.account == account);
        let Some(Probing { missing, .. }) = probing else { return self.pause(delay) };
        missing.send_modify(|missing| *missing = missing.saturating_sub(1));
        Box::pin(async move {
            let _ = missing.subscribe().wait_for(|missing| *missing == 0).await;
        })
    }

    /// The load is over: no fault happens any more.
    pub(in crate::simulation) fn calm(&self) {
        self.faults.end();
    }

    /// From now on only this account places calls, and answers when so many are in flight.
    pub(in crate::simulation) fn probes(&self, account: usize, many: usize) {
        let missing = Arc::new(watch::Sender::new(many));
        *self.probing.lock().unwrap() = Some(Probing { account, missing });
    }

    /// The client has read a reply to its end.
    pub(in crate::simulation) fn was_read(&self, by: Pid, account: usize, fate: &Fate) {
        if fate.acts == Acts::No(429) && fate.cut.is_none() {
            let now = self.now();
            self.state().starts.entry((account, by)).or_default().throttled(now);
        }
    }
}

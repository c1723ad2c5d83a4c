//! What reaches the provider.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline::Clock;
use trunkline_core_types::{EntropyExt, MacKey};

use super::{KEY, SECRET, World, name};
use crate::simulation::Flaw;
use crate::simulation::around::book::{Book, Create};
use crate::simulation::around::fate::Fate;
use crate::simulation::around::message::{answer, header, word};
use crate::simulation::callbacks::Rung;
use crate::simulation::exchange::Answer;
use crate::simulation::findings::Invariant;
use crate::simulation::jumps::Schedule;
use crate::simulation::listing::error;
use crate::simulation::rotation::text;

impl World {
    pub(in crate::simulation::around) fn asked(
        &self,
        account: usize,
        request: &str,
        began: Instant,
    ) -> Answer {
        let target = request.split(' ').nth(1).unwrap_or_default();
        let key = header(request, "idempotency-key");
        // What is no call's own is named by its moment.
        let moment = self.clock.since_start().as_millis();
        let entropy = self.faults.draw("asked", key.unwrap_or(target), (moment as u64) << 8 | account as u64);
        let after = Duration::from_millis(20 + entropy.below(200));
        self.log.note(request.len() as u64 ^ (account as u64) << 32);
        if let Some(key) = key {
            self.starts(account, key, began);
        }
        if !self.is_signed(request) {
            self.log.tell("provider", key, || format!("refuses the key of {}", name(account)));
            self.book().refused_keys += 1;
            return answer(after, Some(401), error("authentication"));
        }
        if let Some(key) = key {
            return self.create(account, key, request, began);
        }
        let faulty = entropy.below(1_000) < self.plan.faults;
        if faulty && self.faults.happens(|| format!("read-{account}#{moment}")) {
            let status = [None, Some(503)][entropy.below(2) as usize];
            self.log
                .tell("provider", None, || format!("answers {status:?} to a look-up of {}", name(account)));
            return answer(after, status, error("api"));
        }
        self.forget_live(account);
        let target =
            if self.plan.keyed { target.to_owned() } else { target.replace("idempotency_key=", "unknown=") };
        let (status, body) = self.listing.answer(&name(account), &target);
        answer(after, Some(status), body)
    }

    fn starts(&self, account: usize, key: &str, began: Instant) {
        let since = self.clock.since_start() - self.clock.now().saturating_duration_since(began);
        let mut book = self.book();
        let schedule = || Schedule::new(self.plan.paces.clone(), self.plan.tolerance);
        let above = book.schedules.entry(account).or_insert_with(schedule).starts(since);
        drop(book);
        if above {
            self.log.found(
                Invariant::Pace,
                Some(key),
                format!("a start at {} above the bound", name(account)),
            );
        }
    }

    /// Bearer key and body signature, both of a number that is still accepted.
    fn is_signed(&self, request: &str) -> bool {
        let accepted = |number: usize| self.plan.rotation.accepts(number, self.clock.since_start());
        let current = self.plan.rotation.current(self.clock.since_start());
        let numbers = current.saturating_sub(1)..=current;
        let bearer = header(request, "authorization").unwrap_or_default();
        let signature = header(request, "x-signature").unwrap_or_default();
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let keyed = |number: usize| bearer == format!("Bearer {}", text(KEY, number));
        let signed = |number: usize| {
            let secret = text(SECRET, number);
            MacKey::new(secret.as_bytes()).verify_x_signature(signature.as_bytes(), body.as_bytes())
        };
        let any =
            |fits: &dyn Fn(usize) -> bool| numbers.clone().any(|number| accepted(number) && fits(number));
        any(&keyed) && any(&signed)
    }

    fn create(&self, account: usize, key: &str, request: &str, began: Instant) -> Answer {
        let to = request.split_once(r#""to":""#).and_then(|(_, rest)| rest.split_once('"'));
        let to = to.map_or_else(String::new, |(to, _)| to.to_owned());
        let create = Create { account, key: key.to_owned(), to, began };
        let mut fate = self.draw(&create);
        if self.flaw == Some(Flaw::RefusesYetRings) && fate.is_refusal() {
            fate.rings = Some(Duration::ZERO);
        }
        let json = match fate.rings {
            Some(Duration::ZERO) => Some(self.ring(&create)),
            Some(later) => {
                let mut book = self.book();
                book.number += 1;
                let due = (self.clock.now() + later, book.number);
                book.later.insert(due, create);
                drop(book);
                self.bell.notify_one();
                None
            }
            None => None,
        };
        match (json, fate.status) {
            (Some(json), Some(201)) => answer(fate.after, Some(201), json),
            (_, status) => answer(fate.after, status, error(word(status))),
        }
    }

    /// What this request comes to; and that it may have been sent at all.
    fn draw(&self, create: &Create) -> Fate {
        let (mut book, key) = (self.book(), &*create.key);
        let entry = book.calls.entry(key.to_owned()).or_default();
        let number = entry.requests;
        let entropy = self.faults.draw("request", key, number.into());
        let fate =
            Fate::draw(&entropy, self.plan.faults, || self.faults.happens(|| format!("{key}#{number}")));
        entry.requests += 1;
        let (unclear, placed) = (entry.unclear, entry.placed);
        entry.unclear |= !fate.is_refusal();
        entry.bad |= fate.status == Some(400);
        drop(book);
        self.log
            .tell("provider", Some(key), || format!("request {number} at {}: {fate}", name(create.account)));
        if placed {
            self.wrong(Some(key), "was sent again after it was placed".to_owned());
        }
        if unclear && !self.plan.keyed {
            self.log.found(Invariant::Unproven, Some(key), "was sent again without proof".to_owned());
        }
        fate
    }

    /// A reply or an event with an end may have told the client to give a lease back.
    fn forget_live(&self, account: usize) {
        let now = self.clock.now();
        let mut book = self.book();
        let Book { live, calls, .. } = &mut *book;
        live.retain(|(of, key), _| {
            let call = calls.get(key).and_then(|entry| entry.call.as_ref());
            let is_over = |call: &Arc<Rung>| call.life.at(now.saturating_duration_since(call.at)).rank() == 4;
            *of != account || !call.is_some_and(is_over)
        });
    }
}

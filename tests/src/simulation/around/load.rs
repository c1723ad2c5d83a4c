//! What callers and operator do: bulk, single calls, impatience, a reconcile now and then, and everything placed once more at the end.

mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, join, join_all, join3, select};
use futures_util::{StreamExt, stream};
use trunkline::{Client, Clock, Finding, NewCall, Order, Rate};
use trunkline_core_types::EntropyExt;

use self::web::Web;
use super::world::{World, name};
use crate::end::End;
use crate::simulation::findings::Invariant;
use crate::simulation::operator::{Found, Operator};

/// The time of a single call, shorter or longer than that in which a reply has to begin.
const SINGLE_TIMEOUTS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(20)];
const TICK: Duration = Duration::from_millis(2);
/// Longer than a life, a late create, a fence, every delay, every late event and the greatest jump of the clock.
const QUIET: Duration = Duration::from_secs(1_800);

pub(super) struct Load<'a> {
    world: &'a Arc<World>,
    client: &'a Client,
    /// The calls that are placed.
    keys: &'a BTreeSet<String>,
    operator: Operator,
    ends: Mutex<BTreeMap<String, End>>,
    /// Calls of which an event told, until that is checked.
    proven: Mutex<Vec<String>>,
    /// What was proven not placed, for the end: it must not ring later either.
    absent: Mutex<Vec<Found>>,
}

impl<'a> Load<'a> {
    pub(super) fn new(world: &'a Arc<World>, client: &'a Client, keys: &'a BTreeSet<String>) -> Self {
        Self {
            world,
            client,
            keys,
            operator: Operator::new(world.plan.frees),
            ends: Mutex::default(),
            proven: Mutex::default(),
            absent: Mutex::default(),
        }
    }

    pub(super) async fn run(self) {
        let calls = async {
            join(self.bulk(), self.singles()).await;
            self.settle_down().await;
            self.world.callbacks.close();
        };
        let web = Web { webhooks: self.client.webhooks(), load: &self };
        let events = self.world.callbacks.deliver(&web);
        let background = join3(self.operate(), self.world.ring_late(), self.change_paces());
        select(Box::pin(join(calls, events)), Box::pin(background)).await;
        self.last_check();
        for _ in 0..self.client.shutdown(Duration::from_secs(60)).await.under_way {
            self.world.log.found(Invariant::Leaked, None, "an operation is under way".to_owned());
        }
    }

    async fn bulk(&self) {
        let calls = self.world.plan.calls - self.world.plan.calls / 5;
        let (begins, world) = (self.world.clock.now(), self.world.clone());
        let places = |number: &usize| self.keys.contains(&format!("bulk-{number}"));
        let numbers: Vec<_> = (0..calls).filter(places).collect();
        let orders = stream::iter(numbers).then(move |number| {
            let world = world.clone();
            async move {
                let at = world.plan.length.mul_f64(number as f64 / calls as f64);
                world.clock.sleep_until(begins + at).await;
                let key = format!("bulk-{number}");
                world.log.tell("caller", Some(&key), || "takes the call from its list".to_owned());
                world.came(&key);
                order(&world, &key)
            }
        });
        let mut placed = self.client.place_all(orders);
        while let Some((key, result)) = placed.next().await {
            self.ended(key.as_str(), End::of(&result));
        }
    }

    async fn singles(&self) {
        let singles = self.keys.iter().filter(|key| key.starts_with("single-"));
        join_all(singles.map(|key| {
            let entropy = self.world.faults.draw("single", key, 0);
            let begins = self.world.plan.length.mul_f64(entropy.fraction());
            let patience = Duration::from_millis(entropy.below(3_000));
            self.single(key.clone(), begins, (entropy.below(4) == 0).then_some(patience))
        }))
        .await;
    }

    async fn single(&self, key: String, begins: Duration, patience: Option<Duration>) {
        let clock = &self.world.clock;
        clock.sleep_until(clock.now() + begins).await;
        self.forge(&key);
        match patience {
            None => self.place(&key).await,
            Some(patience) => {
                let timer = clock.sleep_until(clock.now() + patience);
                if let Either::Right(((), call)) = select(Box::pin(self.place(&key)), timer).await {
                    self.world.log.tell("caller", Some(&key), || "gives up".to_owned());
                    drop(call);
                    self.ended(&key, End::Dropped);
                }
            }
        }
    }

    async fn place(&self, key: &str) {
        self.world.log.tell("caller", Some(key), || "places the call".to_owned());
        self.world.came(key);
        let clock = &self.world.clock;
        let timeout = SINGLE_TIMEOUTS[self.world.faults.draw("timeout", key, 0).below(2) as usize];
        let began = clock.now();
        let result = self.client.place(order(self.world, key).timeout(timeout)).await;
        let took = clock.now() - began;
        if took > timeout + TICK {
            let words = format!("took {} ms of {} ms", took.as_millis(), timeout.as_millis());
            self.world.log.found(Invariant::Late, Some(key), words);
        }
        self.ended(key, End::of(&result));
    }

    /// Somebody else claims that the call rang.
    fn forge(&self, key: &str) {
        let drawn = self.world.plan.trouble > 0 && self.world.faults.draw("forged", key, 0).below(4) == 0;
        if drawn && self.world.faults.happens(|| format!("forged:{key}")) {
            self.world.callbacks.forge(&self.world.never(key));
        }
    }

    /// The end as the book has it at this moment.
    fn ended(&self, key: &str, end: End) {
        let rings = self.world.rings(key);
        let agrees = match end {
            End::Placed => rings == 1,
            End::Rejected | End::Unsent => rings == 0,
            End::Ambiguous | End::Dropped => rings <= 1,
        };
        self.world.log.tell("caller", Some(key), || format!("the call ends {end:?}"));
        if !agrees {
            self.world.wrong(Some(key), format!("the call ended {end:?} and was rung {rings} times"));
        }
        if end == End::Placed {
            self.world.placed(key);
        }
        self.ends.lock().unwrap().insert(key.to_owned(), end);
    }

    /// An event proves its call: placing it again is answered from the journal. Asked before the next reconcile may find it too.
    async fn check_proofs(&self) {
        let proven = std::mem::take(&mut *self.proven.lock().unwrap());
        for key in proven {
            let open = matches!(self.ends.lock().unwrap().get(&key), Some(End::Ambiguous | End::Dropped));
            if !open {
                continue;
            }
            let placed = End::of(&self.client.place(order(self.world, &key)).await);
            if placed != End::Placed {
                let words = format!("was proven by an event, and placing it again gave {placed:?}");
                self.world.wrong(Some(&key), words);
            }
            self.ended(&key, placed);
        }
    }

    /// Reconciles now and then; what it frees is placed again.
    async fn operate(&self) {
        let clock = &self.world.clock;
        loop {
            clock.sleep_until(clock.now() + self.world.plan.interval).await;
            self.check_proofs().await;
            self.reconcile().await;
        }
    }

    /// One run over what is due.
    async fn reconcile(&self) {
        self.operator.look(self.client, &self.world.clock, 500).await;
        let mut freed = Vec::new();
        for found in self.operator.take() {
            self.world.log.note(found.finding as u64);
            let key = Some(&*found.key);
            self.world.log.tell("operator", key, || format!("finds that it is {:?}", found.finding));
            if let Some(problem) = Operator::problem(&found, self.world.rang(&found.key)) {
                self.world.wrong(key, problem);
            }
            if found.finding == Finding::ProvenAbsent {
                self.absent.lock().unwrap().push(found.clone());
            }
            match found.finding {
                Finding::Placed => self.ended(&found.key, End::Placed),
                Finding::ProvenAbsent if self.world.plan.frees => {
                    self.world.freed(&found.key);
                    freed.push(found.key);
                }
                _ => {}
            }
        }
        join_all(freed.iter().map(|key| self.place(key))).await;
    }

    async fn change_paces(&self) {
        let (clock, plan) = (&self.world.clock, &self.world.plan);
        let begins = clock.now();
        for (at, pace) in &plan.paces.all()[1..] {
            clock.sleep_until(begins + *at).await;
            for account in 0..plan.accounts {
                self.client.set_pace(&name(account).parse().unwrap(), Rate::per_second(*pace)).unwrap();
            }
        }
        std::future::pending().await
    }

    /// Nothing new, no faults any more: everything is found out, and placing it all again rings only whom nobody rang.
    async fn settle_down(&self) {
        self.find_out().await;
        self.place_again(|_| true).await;
        // Some came to their turn just before their time was over; what an event or a look-up told of them is their answer.
        self.find_out().await;
        self.place_again(|end| matches!(end, End::Ambiguous | End::Dropped | End::Rejected)).await;
        self.probe_leases().await;
    }

    async fn place_again(&self, whose: impl Fn(End) -> bool) {
        let ends = self.ends.lock().unwrap().clone();
        let keys: Vec<_> = ends.iter().filter(|(_, end)| whose(**end)).map(|(key, _)| key).collect();
        for some in keys.chunks(5) {
            join_all(some.iter().map(|key| self.place(key))).await;
        }
    }

    async fn find_out(&self) {
        let clock = &self.world.clock;
        clock.sleep_until(clock.now() + QUIET).await;
        self.world.calm();
        // The operator may be at it just then.
        for _ in 0..10 {
            self.reconcile().await;
            clock.sleep_until(clock.now() + Duration::from_secs(30)).await;
        }
    }

    /// As many calls as may live fit in: every lease of the run has come back.
    async fn probe_leases(&self) {
        let Some((max, ttl)) = self.world.plan.live_calls else { return };
        let clock = &self.world.clock;
        clock.sleep_until(clock.now() + ttl).await;
        let probe = |number| async move {
            let key = format!("probe-{number}");
            self.world.came(&key);
            let order = order(self.world, &key).timeout(Duration::from_secs(400));
            let end = End::of(&self.client.place(order).await);
            self.ended(&key, end);
            if end != End::Placed {
                self.world.log.found(Invariant::Leaked, Some(&key), "found no lease".to_owned());
            }
        };
        join_all((0..max.get().min(100)).map(probe)).await;
    }

    /// What nobody rang says so, and what is unknown still could not be asked about.
    fn last_check(&self) {
        let plan = &self.world.plan;
        for found in &*self.absent.lock().unwrap() {
            if let Some(problem) = Operator::problem(found, self.world.rang(&found.key)) {
                self.world.wrong(Some(&found.key), problem);
            }
        }
        for (key, end) in &*self.ends.lock().unwrap() {
            let rings = self.world.rings(key);
            let wrong = match end {
                End::Placed => rings != 1,
                // A key that was refused was another one by then.
                End::Rejected => rings != 0 || !self.world.is_bad(key),
                End::Unsent => rings != 0,
                End::Ambiguous | End::Dropped => plan.keyed && (plan.frees || rings != 0),
            };
            if wrong {
                self.world.wrong(Some(key), format!("is {end:?} in the end and was rung {rings} times"));
            }
        }
    }
}

fn order(world: &World, key: &str) -> Order {
    let person = world.person(key);
    Order::new(NewCall::say(&format!("+1415{person:07}"), "hello").unwrap()).key(key).unwrap()
}

//! The journal of the simulated processes: what was awaited is durable, the rest is lost if its process dies before it is flushed.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, Claim, Class, IdempotencyKey, Intent, JournalError, JournalErrorKind,
};
use trunkline_journal::MemoryJournal;

use super::process::{Pid, Process};
use super::world::World;

/// The durable part, as a database would keep it for all processes.
#[derive(Debug)]
pub(super) struct Store {
    durable: MemoryJournal,
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who claimed a key last, and whether an attempt of the claim was noted.
    held: BTreeMap<IdempotencyKey, (Pid, bool)>,
    /// Notes that nobody waits for, in their order.
    queued: BTreeMap<Pid, VecDeque<Queued>>,
}

#[derive(Debug)]
struct Queued {
    due: Duration,
    key: IdempotencyKey,
    end: Ends,
    class: Class,
    reply: Option<Bytes>,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    /// The attempt of this number.
    Attempt(u32),
    /// The call, says who was given this number.
    Claim(u32),
    /// The call, says a proof.
    Call,
}

impl Store {
    pub(super) fn new(world: &Arc<World>) -> Arc<Self> {
        let durable = MemoryJournal::new(world.clock.clone());
        Arc::new(Self { durable, world: world.clone(), state: Mutex::default() })
    }

    /// What a process that starts again finds: what it was dialling is unknown, never pending; what it only claimed is free.
    pub(super) fn recover(&self, dead: Pid) {
        self.flush_due();
        let mut state = self.state();
        let lost = state.queued.remove(&dead).map_or(0, |queued| queued.len());
        self.world.tell("journal", None, || format!("{lost} notes of {dead} were never written"));
        let mine = state.held.extract_if(.., |_, (holder, _)| *holder == dead);
        for (key, (_, begun)) in mine {
            let class = if begun { Class::Ambiguous } else { Class::Unsent };
            let recovered = self.durable.settle(&key, class, None).is_ok();
            self.world.tell("journal", Some(key.as_str()), || {
                format!("was in the hands of {dead}: now {class}{}", if recovered { "" } else { ", refused" })
            });
        }
    }

    /// Writes what is due of every process.
    fn flush_due(&self) {
        let now = self.world.now();
        self.flush(|_, queued| queued.due <= now);
    }

    fn flush(&self, ready: impl Fn(Pid, &Queued) -> bool) {
        let State { held, queued } = &mut *self.state();
        for (pid, queue) in queued {
            while let Some(note) = queue.pop_front_if(|note| ready(*pid, note)) {
                self.write(held, note);
            }
        }
    }

    fn write(&self, held: &mut BTreeMap<IdempotencyKey, (Pid, bool)>, note: Queued) {
        let Queued { key, end, class, reply, .. } = note;
        let written = match end {
            Ends::Attempt(number) => self.durable.end(&key, number, class, reply),
            Ends::Claim(number) => self.durable.settle_claim(&key, number, class, reply),
            Ends::Call => self.durable.settle(&key, class, reply),
        };
        let ended = !matches!(end, Ends::Attempt(_)) && class != Class::Ambiguous;
        if written.is_ok() && (ended || class == Class::Accepted) {
            held.remove(&key);
        }
        self.world.tell("journal", Some(key.as_str()), || match (&written, end) {
            (Ok(()), Ends::Attempt(number)) => format!("the end of attempt {number} as {class} is durable"),
            (Ok(()), _) => format!("the call's end as {class} is durable"),
            (Err(error), _) => format!("refuses {class}: {error}"),
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The journal as one process sees it.
#[derive(Debug)]
pub(super) struct SimJournal {
    pub(super) store: Arc<Store>,
    pub(super) process: Arc<Process>,
}

impl SimJournal {
    fn world(&self) -> &World {
        &self.store.world
    }

    /// An awaited step follows everything that this process noted before.
    fn flush_mine(&self) {
        self.store.flush_due();
        self.store.flush(|pid, _| pid == self.process.pid);
    }

    /// May be slow, and may be where the process dies: then it never comes back.
    async fn reaches(&self, step: &'static str, key: &str, number: u32) {
        if let Some(time) = self.world().faults.slowness(step, key, number.into()) {
            self.world().tell("journal", Some(key), || format!("{step} takes {} ms", time.as_millis()));
            self.world().pause(time).await;
        }
        self.dies_or_goes_on(step, key, number).await;
    }

    /// May be refused; what the store keeps is another matter.
    fn refused(&self, step: &'static str, key: &str, number: u32) -> Result<(), JournalError> {
        if !self.world().faults.refuses(step, key, number.into()) {
            return Ok(());
        }
        self.world().tell("journal", Some(key), || format!("{step} {number} fails"));
        Err(JournalError::new(JournalErrorKind::Store, "simulated"))
    }

    async fn dies_or_goes_on(&self, step: &'static str, key: &str, number: u32) {
        if self.world().crashes(&self.process, step, key, number.into()) {
            pending().await
        }
    }

    /// Queues a note that nobody waits for.
    fn queue(
        &self,
        key: &IdempotencyKey,
        end: Ends,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let world = self.world();
        let name = key.as_str();
        let (step, before, after, nth) = match end {
            Ends::Attempt(number) => ("end", "before-end", "after-end", number),
            Ends::Claim(_) | Ends::Call => ("settle", "before-settle", "after-settle", 0),
        };
        if world.crashes(&self.process, before, name, nth.into()) {
            return Ok(());
        }
        match end {
            Ends::Attempt(number) => world.ended(self.process.pid, name, number, class),
            Ends::Claim(_) | Ends::Call => world.settled(self.process.pid, name, class),
        }
        self.refused(step, name, nth)?;
        let due = world.now() + world.faults.flush(name, nth.into());
        let mut state = self.store.state();
        let queued = state.queued.entry(self.process.pid).or_default();
        let due = queued.back().map_or(due, |last| due.max(last.due));
        queued.push_back(Queued { due, key: key.clone(), end, class, reply });
        drop(state);
        self.store.flush_due();
        world.crashes(&self.process, after, name, nth.into());
        Ok(())
    }

    async fn claimed(&self, intent: &Arc<Intent>) -> Result<Claim, JournalError> {
        let key = intent.key.as_str();
        self.reaches("before-claim", key, 0).await;
        self.refused("claim", key, 0)?;
        self.flush_mine();
        let claim = self.store.durable.claim(intent).await?;
        if let Claim::Go { .. } = claim {
            self.store.state().held.insert(intent.key.clone(), (self.process.pid, false));
        }
        self.world().claimed(self.process.pid, key, &claim);
        self.dies_or_goes_on("after-claim", key, 0).await;
        Ok(claim)
    }

    async fn begun(&self, intent: &Arc<Intent>, number: u32) -> Result<(), JournalError> {
        let (key, pid) = (intent.key.as_str(), self.process.pid);
        self.world().begins(pid, key);
        self.reaches("before-begin", key, number).await;
        self.refused("begin", key, number)?;
        self.flush_mine();
        self.store.durable.begin(intent, number).await?;
        if let Some((_, begun)) = self.store.state().held.get_mut(&intent.key) {
            *begun = true;
        }
        self.world().begun(pid, key, number);
        self.reaches("after-begin", key, number).await;
        // Kept although it failed.
        self.refused("begun", key, number)
    }
}

impl AttemptJournal for SimJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(self.claimed(intent))
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(self.begun(intent, number))
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.queue(key, Ends::Attempt(number), class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.queue(key, Ends::Call, class, reply)
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.queue(key, Ends::Claim(number), class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        self.flush_mine();
        self.store.durable.open_calls(fenced_before, after, limit)
    }
}

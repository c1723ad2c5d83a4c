//! The cache itself: the key in hand, when it is due, and the one fetch.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use trunkline_core_types::{ClockExt, EntropyExt, Fact, KeyError, KeyErrorKind, KeyProvider, KeySet};

use super::CacheSettings;
use super::flight::{Landed, State};
use crate::sync::{ArcSwapOption, AtomicU64, Handle, Land, Mutex, MutexGuard, Ordering, landing};

/// What a fetch may take beyond its reads before it is given up: its runtime stands still.
const GRACE: Duration = Duration::from_secs(1);

/// Everything a cache and its fetch share.
pub(super) struct Core {
    store: Arc<dyn KeyProvider>,
    backend: &'static str,
    settings: CacheSettings,
    born: Instant,
    good: ArcSwapOption<Good>,
    /// Nanoseconds after `born` from which a hit starts a refresh, with one under way that gives it up: read on each of them, so it is
    /// outside of the lock.
    due: AtomicU64,
    state: Mutex<State>,
}

/// A key in hand.
struct Good {
    keys: Arc<KeySet>,
    since: Instant,
    soft: Instant,
    hard: Instant,
}

impl Core {
    pub(super) fn backend(&self) -> &'static str {
        self.backend
    }

    pub(super) fn new(store: Arc<dyn KeyProvider>, settings: CacheSettings) -> Arc<Self> {
        let born = settings.clock.now();
        let (good, due) = (ArcSwapOption::empty(), AtomicU64::new(0));
        let (state, backend) = (Mutex::default(), store.backend());
        Arc::new(Self { store, backend, settings, born, good, due, state })
    }

    pub(super) fn hit_now(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        self.hit(self.settings.clock.now())
    }

    /// The key in hand if it may be served at `now`; starts a refresh if one is due.
    pub(super) fn hit(self: &Arc<Self>, now: Instant) -> Option<Arc<KeySet>> {
        let good = self.good.load();
        let good = good.as_ref().filter(|good| now < good.hard)?;
        if self.nanos(now) >= self.due.load(Ordering::Acquire) {
            // A failure to start one is no failure of the hit.
            let _ = self.start(now);
        }
        Some(good.keys.clone())
    }

    /// The result of the fetch under way, or of a new one.
    pub(super) async fn wait(self: &Arc<Self>, deadline: Instant) -> Result<KeySet, KeyError> {
        let landed = self.start(self.settings.clock.now())?;
        let landing = self.settings.clock.bounded(deadline, landed).await;
        let late = || KeyError::new(KeyErrorKind::Timeout, "no key came in time; check the key store");
        landing.ok_or_else(late)?.unwrap_or_else(|_| Err(stopped()))
    }

    /// Drops the key of this version and fetches once; if that was done less than 30 s ago, a hit fetches once they are over.
    pub(super) fn invalidate(self: &Arc<Self>, version: &str) {
        let now = self.settings.clock.now();
        let mut state = self.lock();
        let in_hand = self.good.load().as_ref().map(|good| good.keys.current.version() == version);
        if in_hand == Some(false) {
            return;
        }
        if let Err(next) = state.refuse(version, now) {
            if state.flight.is_none() {
                self.due.fetch_min(self.nanos(next), Ordering::AcqRel);
            }
            return;
        }
        self.good.store(None);
        state.failure = None;
        drop(state);
        self.store.invalidate(version);
        // Outside of a runtime the next caller starts it.
        let _ = self.start(now);
    }

    /// Ends the fetch under way; who waits for it is told.
    pub(super) fn abort(&self) {
        let task = self.lock().flight.as_ref().and_then(|flight| flight.task.clone());
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Joins the fetch under way or starts one, unless the last failure still answers.
    fn start(self: &Arc<Self>, now: Instant) -> Result<Landed, KeyError> {
        let mut state = self.lock();
        if let Some(flight) = state.flight.as_ref().filter(|flight| now < flight.over_by) {
            return Ok(flight.landed.clone());
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| now < failure.until) {
            return Err(failure.error.clone());
        }
        let runtime = Handle::try_current().map_err(|_| {
            KeyError::new(
                KeyErrorKind::Unavailable,
                "a key is fetched inside of a tokio runtime; call from one",
            )
        })?;
        let over_by = now + 2 * self.settings.fetch_timeout + GRACE;
        self.due.store(self.nanos(over_by), Ordering::Release);
        let (land, landed) = landing();
        let given_up = state.flight.take().and_then(|flight| flight.task);
        let number = state.take_off(landed.clone(), over_by);
        // A runtime that shuts down drops the task inside of `spawn`, and the pilot then takes the lock.
        drop(state);
        if let Some(task) = given_up {
            task.abort();
        }
        let pilot = Pilot { core: self.clone(), number, land: Some(land) };
        let task = runtime.spawn(pilot.fly()).abort_handle();
        // It may have landed by now, and another one be under way.
        if let Some(flight) = self.lock().flight.as_mut().filter(|flight| flight.number == number) {
            flight.task = Some(task);
        }
        Ok(landed)
    }

    /// One read of the store.
    async fn read(&self) -> Result<KeySet, KeyError> {
        let began = self.settings.clock.now();
        let deadline = began + self.settings.fetch_timeout;
        let late = || KeyError::new(KeyErrorKind::Timeout, "the key store did not answer in time; check it");
        let read = self.settings.clock.bounded(deadline, self.store.keys(deadline)).await;
        let result = read.unwrap_or_else(|| Err(late()));
        let took = self.settings.clock.now().saturating_duration_since(began);
        let error = result.as_ref().err().map(KeyError::kind);
        self.settings.observer.saw(Fact::KeyFetch { backend: self.backend, error, took });
        result
    }

    /// Takes the result in: keeps the key, or keeps the last good one if the store is out, or drops it. Nothing is taken in, and `None`
    /// comes back, if the version was refused after the first `refusals` ones: it was read before that. Nor is anything of a fetch that was
    /// given up.
    fn take_in(
        &self,
        number: u64,
        result: Result<KeySet, KeyError>,
        refusals: Option<u64>,
    ) -> Option<Result<KeySet, KeyError>> {
        let now = self.settings.clock.now();
        let result = result.and_then(|keys| self.keep(keys, now));
        let mut state = self.lock();
        if state.flight.as_ref().is_none_or(|flight| flight.number != number) {
            return Some(Err(stopped()));
        }
        if let (Ok(good), Some(refusals)) = (&result, refusals)
            && state.refused_after(refusals, good.keys.current.version())
        {
            return None;
        }
        state.flight = None;
        match &result {
            Ok(good) => {
                state.failure = None;
                self.good.store(Some(good.clone()));
                let again = state.look_again(good.keys.current.version(), now);
                let due = again.map_or(good.soft, |again| again.min(good.soft));
                self.due.store(self.nanos(due), Ordering::Release);
            }
            Err(error) => {
                state.failed(error.clone(), now, &*self.settings.entropy);
                if !error.kind().is_outage() {
                    self.good.store(None);
                }
                let until = state.failure.as_ref().map_or(now, |failure| failure.until);
                self.due.store(self.nanos(until), Ordering::Release);
                drop(state);
                self.report_stale(now);
            }
        }
        Some(result.map(|good| KeySet::clone(&good.keys)))
    }

    fn report_stale(&self, now: Instant) {
        if let Some(good) = self.good.load().as_ref().filter(|good| now < good.hard) {
            let age = now.saturating_duration_since(good.since);
            self.settings.observer.saw(Fact::KeyStale { backend: self.backend, age });
        }
    }

    /// The key with the moments at which it is due and over.
    fn keep(&self, keys: KeySet, now: Instant) -> Result<Arc<Good>, KeyError> {
        let left = match keys.current.not_after() {
            Some(end) => end.duration_since(self.settings.clock.wall()).unwrap_or_default(),
            None => Duration::MAX,
        };
        if left.is_zero() {
            let over = "the key in the store is past its end; write a new one";
            return Err(KeyError::new(KeyErrorKind::Invalid, over));
        }
        let jitter = 0.9 + 0.2 * self.settings.entropy.fraction();
        let hard = self.settings.hard_ttl.min(left);
        let soft = self.settings.soft_ttl.mul_f64(jitter).min(hard.mul_f64(0.9));
        Ok(Arc::new(Good { keys: Arc::new(keys), since: now, soft: now + soft, hard: now + hard }))
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings one fetch home: whatever ends it, an abort or a panic of the store included, its waiters are told and the next may start.
struct Pilot {
    core: Arc<Core>,
    number: u64,
    /// Gone once it landed.
    land: Option<Land<Result<KeySet, KeyError>>>,
}

impl Pilot {
    /// Reads the store, and once more if what it brought was refused meanwhile.
    async fn fly(mut self) {
        let refusals = self.core.lock().refusals();
        let first = self.core.read().await;
        if !self.end(first, Some(refusals)) {
            let second = self.core.read().await;
            self.end(second, None);
        }
    }

    /// False if the result was not taken in.
    fn end(&mut self, result: Result<KeySet, KeyError>, refusals: Option<u64>) -> bool {
        if self.land.is_none() {
            return true;
        }
        // Landed only after that: a panic in there is brought home as well.
        let Some(result) = self.core.take_in(self.number, result, refusals) else { return false };
        if let Some(land) = self.land.take() {
            // Nobody may be waiting.
            let _ = land.send(result);
        }
        true
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.end(Err(stopped()), None);
    }
}

fn stopped() -> KeyError {
    KeyError::new(KeyErrorKind::Unavailable, "the fetch of the key was stopped; ask again")
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.good.load().as_ref().map(|good| good.keys.current.version().to_owned());
        f.debug_struct("Core")
            .field("backend", &self.backend)
            .field("version", &version)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

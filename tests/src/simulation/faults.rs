//! Which faults happen. Each is drawn from the seed and its own name, so one call or fault less leaves the others as they were.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trunkline_core_types::{Entropy, EntropyExt, SeededEntropy};

use super::fate::Fate;
use super::plan::Plan;

/// How long the provider's door stays shut at a time.
const DOOR: Duration = Duration::from_millis(50);

/// Draws faults by name and keeps which ones happened.
#[derive(Debug)]
pub(super) struct Faults {
    seed: u64,
    requests: u64,
    slow: u64,
    /// Chance of a crash at one step, of 2³².
    crash: u64,
    refusals: u64,
    flush: u64,
    /// Only these happen; none for all.
    only: Option<BTreeSet<String>>,
    happened: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

impl Faults {
    pub(super) fn new(seed: u64, plan: &Plan, only: Option<BTreeSet<String>>) -> Self {
        // About eight steps of each call.
        let steps = 8 * plan.calls.max(1) as u64;
        let crash = (u64::from(plan.crashes) << 32) / steps;
        let (requests, slow, refusals, flush) = (plan.faults, plan.slow, plan.refusals, plan.flush);
        Self { requests, slow, crash, refusals, flush, ..Self::by_name(seed, only) }
    }

    /// Faults of which others know how often they happen.
    pub(super) fn by_name(seed: u64, only: Option<BTreeSet<String>>) -> Self {
        let (happened, over) = (Mutex::default(), AtomicBool::new(false));
        Self { seed, requests: 0, slow: 0, crash: 0, refusals: 0, flush: 0, only, happened, over }
    }

    /// Random numbers of one name.
    pub(super) fn draw(&self, kind: &str, of: &str, number: u64) -> SeededEntropy {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let hash = kind.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, fold);
        let hash = of.bytes().fold(fold(hash, 0xff), fold);
        let hash = number.to_le_bytes().into_iter().fold(fold(hash, 0xff), fold);
        // Neighbouring seeds draw alike at first.
        SeededEntropy::new(SeededEntropy::new(hash).next())
    }

    /// What becomes of the `number`th request under `key`, which came to `account`.
    pub(super) fn fate(&self, account: usize, key: &str, number: u64) -> Fate {
        let entropy = self.draw("request", key, number << 8 | account as u64);
        let clean = Fate::clean(&entropy);
        let faulty = entropy.below(1000) < self.requests;
        if faulty && self.happens(|| format!("{key}#{number}")) { clean.faulty(&entropy) } else { clean }
    }

    /// Whether the provider takes no connection for a moment.
    pub(super) fn door_is_shut(&self, account: usize, since_start: Duration) -> bool {
        let moment = (since_start.as_millis() / DOOR.as_millis()) as u64;
        let shut = self.draw("door", "", moment << 8 | account as u64).below(10_000) < self.requests;
        shut && self.happens(|| format!("door-{account}#{moment}"))
    }

    /// How long a step of the journal or the signer takes.
    pub(super) fn slowness(&self, step: &str, of: &str, number: u64) -> Option<Duration> {
        let entropy = self.draw(step, of, number);
        let slow = entropy.below(1000) < self.slow;
        let long = if entropy.below(10) == 0 { Duration::from_secs(1) } else { Duration::from_millis(60) };
        (slow && self.happens(|| format!("slow-{step}:{of}#{number}"))).then_some(long)
    }

    /// Whether the journal refuses a step.
    pub(super) fn refuses(&self, step: &str, key: &str, number: u64) -> bool {
        let refused = self.draw("refuses", key, number).below(1000);
        let of_this_step = self.draw(step, key, number).below(8) < 2;
        refused < self.refusals && of_this_step && self.happens(|| format!("refused-{step}:{key}#{number}"))
    }

    /// After how long a note that nobody waits for is durable.
    pub(super) fn flush(&self, key: &str, number: u64) -> Duration {
        Duration::from_micros(self.draw("flush", key, number).below(1 + self.flush * 1000))
    }

    /// Whether the process dies at this step; once for each name.
    pub(super) fn crashes(&self, step: &str, key: &str, number: u64) -> bool {
        if self.crash == 0 || self.draw(step, key, number).next() >> 32 >= self.crash {
            return false;
        }
        let name = format!("crash-{step}:{key}#{number}");
        !self.happened.lock().unwrap().contains(&name) && self.happens(|| name)
    }

    /// Whether a fault that was drawn is switched on; it has happened then.
    pub(super) fn happens(&self, name: impl FnOnce() -> String) -> bool {
        if self.are_over() {
            return false;
        }
        let name = name();
        let on = self.only.as_ref().is_none_or(|only| only.contains(&name));
        if on {
            self.happened.lock().unwrap().insert(name);
        }
        on
    }

    /// None happens from now on.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn happened(&self) -> BTreeSet<String> {
        self.happened.lock().unwrap().clone()
    }
}

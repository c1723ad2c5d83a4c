//! Pacing as a seam: permits that are a moment, refusals that carry a wait, leases for live calls.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::BoxFuture;

/// A rate: so many starts in a period.
///
/// ```
/// # use trunkline_core_types::Rate;
/// # use std::{num::NonZeroU32, time::Duration};
/// let rate = Rate::per_second(NonZeroU32::new(4).unwrap());
/// assert_eq!(rate.interval(), Duration::from_millis(250));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    period: Duration,
}

/// The rate has a period of zero, or one above a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rate: the period must be above zero and at most one day; got {0:?}")]
pub struct RateError(Duration);

impl Rate {
    /// The longest period: one day.
    pub const MAX_PERIOD: Duration = Duration::from_secs(86_400);

    /// `count` starts a second.
    pub const fn per_second(count: NonZeroU32) -> Self {
        Self { count, period: Duration::from_secs(1) }
    }

    /// `count` starts in `period`.
    ///
    /// # Errors
    /// [`RateError`] if the period is zero or above [`Rate::MAX_PERIOD`].
    pub fn new(count: NonZeroU32, period: Duration) -> Result<Self, RateError> {
        if period.is_zero() || period > Self::MAX_PERIOD {
            return Err(RateError(period));
        }
        Ok(Self { count, period })
    }

    /// Starts in a period.
    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    /// The period.
    pub fn period(self) -> Duration {
        self.period
    }

    /// Interval between two starts: whole nanoseconds, rounded up, so that no window holds more than the rate allows.
    pub fn interval(self) -> Duration {
        // A day in nanoseconds fits 47 bits.
        let nanos = self.period.as_nanos() as u64;
        Duration::from_nanos(nanos.div_ceil(u64::from(self.count.get())))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period.as_secs_f64() {
            1.0 => write!(f, "{}/s", self.count),
            seconds => write!(f, "{} in {seconds} s", self.count),
        }
    }
}

/// Which line a request waits in. A more urgent line is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody waits for this one call: a code, an alert.
    Interactive,
    /// One of many.
    Bulk,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

/// What a permit is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Slots taken at once; 1 for a call.
    pub cost: NonZeroU32,
    /// Which line to wait in.
    pub lane: Lane,
    /// Until when to wait.
    pub deadline: Instant,
}

impl Ask {
    /// One slot in the interactive lane.
    pub fn one(deadline: Instant) -> Self {
        Self { cost: NonZeroU32::MIN, lane: Lane::Interactive, deadline }
    }
}

/// The pacer's side of a permit: told once how it ended.
pub trait Slot: fmt::Debug + Send {
    /// A byte left under this permit: the slot is used.
    fn spent(self: Box<Self>);

    /// Nothing left: the slot goes back if nobody took a later one meanwhile.
    fn given_back(self: Box<Self>);
}

/// A moment at which one request may start. Dropping it spends it, the safe side.
#[derive(Debug)]
pub struct Permit {
    start_by: Instant,
    granted: Option<Instant>,
    slot: Option<Box<dyn Slot>>,
}

impl Permit {
    /// A permit whose first byte must leave by `start_by`.
    pub fn new(start_by: Instant, slot: Option<Box<dyn Slot>>) -> Self {
        Self { start_by, granted: None, slot }
    }

    /// Granted at this instant, as the pacer read it. Default: unknown, upon which whoever takes the permit reads the clock.
    #[must_use]
    pub fn granted_at(mut self, now: Instant) -> Self {
        self.granted = Some(now);
        self
    }

    /// When it was granted, if its pacer said so.
    pub fn granted(&self) -> Option<Instant> {
        self.granted
    }

    /// Later than this the first byte must not leave: the pace of what follows would break.
    pub fn start_by(&self) -> Instant {
        self.start_by
    }

    /// A byte left.
    pub fn spend(self) {
        drop(self);
    }

    /// No byte left and none will.
    pub fn give_back(mut self) {
        if let Some(slot) = self.slot.take() {
            slot.given_back();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.spent();
        }
    }
}

/// Why there is no permit or lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeniedKind {
    /// The turn would come after the deadline.
    Deadline,
    /// The line is full.
    Full,
    /// The cost is above the burst: no waiting helps.
    Never,
    /// The pacer was shut down.
    Closed,
}

impl DeniedKind {
    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Full => "full",
            Self::Never => "never",
            Self::Closed => "closed",
        }
    }
}

/// No permit, and after what wait asking again may help: exact for the head of the line, a lower bound behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not permitted ({})", kind.as_str())]
pub struct Denied {
    /// Why.
    pub kind: DeniedKind,
    /// Never zero; `None` where no wait helps.
    pub wait: Option<Duration>,
}

/// What the provider said about the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// It refused with a throttle: nobody of this account starts for `pause`.
    Throttled {
        /// How long to stay silent.
        pause: Duration,
    },
    /// It took a start and kept it in a queue of its own: starts come faster than it serves them.
    Queued {
        /// How long the start waited there.
        waited: Duration,
    },
}

/// Hands out permits at a pace.
pub trait Pacer: fmt::Debug + Send + Sync + 'static {
    /// Waits for the next slot, no longer than `ask.deadline`.
    ///
    /// # Errors
    /// [`Denied`] with a wait, at once if the turn cannot come in time.
    fn acquire(&self, ask: Ask) -> BoxFuture<'_, Result<Permit, Denied>>;

    /// Does what `acquire` does, if nothing has to be waited for; who waits is not overtaken. Default: `None`, upon which callers wait for
    /// `acquire`.
    fn acquire_at_once(&self, ask: Ask) -> Option<Result<Permit, Denied>> {
        let _ = ask;
        None
    }

    /// The provider's word on the pace; takes effect for everybody who waits.
    fn feedback(&self, signal: Signal) {
        let _ = signal;
    }
}

/// Counted leases, for example of live calls: taken before a call, ended by its last event or by time.
pub trait Leases: fmt::Debug + Send + Sync + 'static {
    /// Takes a lease for `holder` (taking it again renews it), waiting until `deadline` for a free one; it ends after `ttl` by itself.
    ///
    /// # Errors
    /// [`Denied`] with the time until the next lease ends.
    fn take<'a>(
        &'a self,
        holder: &'a str,
        deadline: Instant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Denied>>;

    /// Ends the lease of `holder`; one that has none changes nothing.
    fn release(&self, holder: &str);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Debug)]
    struct Counted(Arc<[AtomicU32; 2]>);

    impl Slot for Counted {
        fn spent(self: Box<Self>) {
            self.0[0].fetch_add(1, Ordering::Relaxed);
        }
        fn given_back(self: Box<Self>) {
            self.0[1].fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_permit_ends_exactly_once_and_dropping_spends_it() {
        let ends = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let permit = || Permit::new(crate::SystemClock::new().start(), Some(Box::new(Counted(ends.clone()))));
        drop(permit());
        permit().spend();
        permit().give_back();
        assert_eq!([ends[0].load(Ordering::Relaxed), ends[1].load(Ordering::Relaxed)], [2, 1]);
    }

    trait Start {
        fn start(&self) -> Instant;
    }

    impl Start for crate::SystemClock {
        fn start(&self) -> Instant {
            crate::Clock::now(self)
        }
    }

    proptest! {
        #[test]
        fn the_interval_never_exceeds_the_rate(count in 1u32.., millis in 1u64..86_400_000) {
            let rate = Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(millis)).unwrap();
            let spaced = rate.interval().as_nanos() * u128::from(count);
            prop_assert!(spaced >= rate.period().as_nanos());
            prop_assert!(spaced < rate.period().as_nanos() + u128::from(count));
        }

        #[test]
        fn a_period_out_of_range_is_refused(seconds in 86_401u64..) {
            prop_assert!(Rate::new(NonZeroU32::MIN, Duration::from_secs(seconds)).is_err());
        }
    }
}

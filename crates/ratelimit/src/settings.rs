//! Settings of a local pacer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{Clock, Observer, Rate, Unobserved};

use crate::{Error, ErrorKind, LocalPacer};

/// Settings of a [`LocalPacer`].
#[derive(Debug, Clone)]
pub struct LocalPacerSettings {
    pub(crate) rate: Rate,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) burst: NonZeroU32,
    pub(crate) tolerance: Duration,
    pub(crate) queue: usize,
    pub(crate) in_flight_max: Option<NonZeroU32>,
    pub(crate) queue_bound: Option<Duration>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl LocalPacerSettings {
    /// Default of [`tolerance`](Self::tolerance): 50 ms.
    pub const TOLERANCE: Duration = Duration::from_millis(50);

    /// Default of [`queue`](Self::queue): 1,024.
    pub const QUEUE: usize = 1_024;

    /// A pacer of `rate` that takes the time from `clock`; everything else at its default.
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self {
            rate,
            clock,
            burst: NonZeroU32::MIN,
            tolerance: Self::TOLERANCE,
            queue: Self::QUEUE,
            in_flight_max: None,
            queue_bound: None,
            observer: Arc::new(Unobserved::default()),
        }
    }

    /// How many may start at one moment after a rest, and the largest cost of one request. Default: 1, an even spacing.
    ///
    /// A burst of `B` lets `B` more through in a window than the rate says. It is fixed for the pacer's life.
    pub fn burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }

    /// How long after its slot a request may still start. From 1 ms to 10 s; default 50 ms.
    ///
    /// It is part of the stated bound: a larger one forgives a slow machine and lets late starts crowd together, by
    /// `tolerance / interval` at most. Half of it is what a late timer may catch up, so that a permit has at least the other half left.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// How many may wait in each lane. Default: 1,024; 0 refuses whoever cannot start at once. A waiter costs about 100 bytes.
    pub fn queue(mut self, per_lane: usize) -> Self {
        self.queue = per_lane;
        self
    }

    /// How many permits may be out at once. Default: no such limit. A permit is out until it is spent, given back or dropped.
    pub fn in_flight_max(mut self, permits: NonZeroU32) -> Self {
        self.in_flight_max = Some(permits);
        self
    }

    /// How long a start may wait in the far side's own queue before the pace is slowed down; see [`LocalPacer`]'s `feedback`. Default: no
    /// bound, the pace stays.
    pub fn queue_bound(mut self, bound: Duration) -> Self {
        self.queue_bound = Some(bound);
        self
    }

    /// Who is told of permits, refusals and throttles. Default: nobody.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The pacer.
    ///
    /// # Errors
    /// [`ErrorKind::Tolerance`] if the tolerance is below 1 ms or above 10 s.
    pub fn build(self) -> Result<LocalPacer, Error> {
        if self.tolerance < Duration::from_millis(1) || self.tolerance > Duration::from_secs(10) {
            return Err(Error::new(ErrorKind::Tolerance, self.tolerance));
        }
        Ok(LocalPacer::new(self))
    }
}

//! A wall clock that may jump, and what is certain of it all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use trunkline_core_types::{BoxFuture, Clock};

use crate::job::MAX_TIME;

/// The client's clock, which remembers how far behind its wall time has been: a fence is a wall time, and one that was written before
/// the wall stepped forward would seem to have passed early.
#[derive(Debug)]
pub(crate) struct Steady {
    inner: Arc<dyn Clock>,
    origin: Instant,
    least: Mutex<Least>,
}

/// The least wall time at `origin` by which any fence was written, in this span and in the one before. No fence lies further ahead than
/// a span, so older ones have passed.
#[derive(Debug)]
struct Least {
    since: Instant,
    before: SystemTime,
    now: SystemTime,
}

impl Steady {
    pub(crate) fn new(inner: Arc<dyn Clock>) -> Self {
        let (origin, wall) = (inner.now(), inner.wall());
        let least = Mutex::new(Least { since: origin, before: wall, now: wall });
        Self { inner, origin, least }
    }

    /// A wall time that has passed by every clock that wrote a fence in this process: never ahead of `wall`, behind it for a day or two
    /// after the wall stepped forward.
    pub(crate) fn passed(&self) -> SystemTime {
        self.look(self.now()).1
    }

    /// The wall time, for a fence counted from `now`: a reading that may be a little old, since a fence lies as far after it as `passed`
    /// counts from it.
    pub(crate) fn wall_at(&self, now: Instant) -> SystemTime {
        self.look(now).0
    }

    /// Both wall times.
    fn look(&self, now: Instant) -> (SystemTime, SystemTime) {
        let wall = self.inner.wall();
        let ran = now.saturating_duration_since(self.origin);
        let at_origin = wall.checked_sub(ran).unwrap_or(SystemTime::UNIX_EPOCH);
        // No step panics half-way, so a poisoned lock still guards whole values.
        let mut least = self.least.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(least.since) > SPAN {
            (least.since, least.before, least.now) = (now, least.now, at_origin);
        }
        least.now = least.now.min(at_origin);
        (wall, least.now.min(least.before) + ran)
    }
}

/// Longer than any fence lies ahead.
const SPAN: Duration = MAX_TIME.saturating_add(Duration::from_secs(60));

#[deny(clippy::missing_trait_methods)]
impl Clock for Steady {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> SystemTime {
        self.wall_at(self.now())
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::SystemClock;

    /// A clock that says what it was told.
    #[derive(Debug)]
    struct Told(Mutex<(Instant, SystemTime)>);

    impl Clock for Told {
        fn now(&self) -> Instant {
            self.0.lock().unwrap().0
        }

        fn wall(&self) -> SystemTime {
            self.0.lock().unwrap().1
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    fn clock() -> (Arc<Told>, Steady, SystemTime) {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let told = Arc::new(Told(Mutex::new((SystemClock::new().now(), wall))));
        (told.clone(), Steady::new(told), wall)
    }

    fn run(told: &Told, seconds: u64, step: i64) {
        let mut at = told.0.lock().unwrap();
        at.0 += Duration::from_secs(seconds);
        let by = Duration::from_secs(step.unsigned_abs());
        at.1 += Duration::from_secs(seconds);
        at.1 = if step < 0 { at.1 - by } else { at.1 + by };
    }

    #[test]
    fn a_step_forward_passes_no_fence_that_was_written_before() {
        let (told, clock, began) = clock();
        let fence = clock.wall() + Duration::from_secs(30);
        run(&told, 10, 300);
        assert!(clock.wall() > fence && clock.passed() == began + Duration::from_secs(10));
        run(&told, 20, 0);
        assert_eq!(clock.passed(), fence);
    }

    #[test]
    fn a_step_back_and_forth_passes_no_fence_of_the_time_between() {
        let (told, clock, began) = clock();
        run(&told, 10, -300);
        let fence = clock.wall() + Duration::from_secs(30);
        run(&told, 10, 300);
        assert_eq!(
            (clock.wall(), clock.passed()),
            (began + Duration::from_secs(20), fence - Duration::from_secs(20))
        );
    }

    #[test]
    fn a_fence_from_an_old_reading_has_not_passed_before_its_time() {
        for (lag, step) in [(0, 0), (5, 0), (5, 300), (5, -300)] {
            let (told, clock, _) = clock();
            let now = clock.now();
            run(&told, lag, step);
            let fence = clock.wall_at(now) + Duration::from_secs(30);
            run(&told, 29 - lag, 300);
            assert!(clock.passed() < fence, "{lag} {step}");
        }
    }

    #[test]
    fn a_step_is_forgotten_when_no_fence_of_before_is_left() {
        let (told, clock, _) = clock();
        run(&told, 1, 300);
        for _ in 0..3 {
            clock.wall();
            run(&told, SPAN.as_secs() + 1, 0);
        }
        assert_eq!(clock.passed(), clock.wall());
    }
}

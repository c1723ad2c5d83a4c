//! Telling one's own call apart in a listing by number: pure.

use std::time::{Duration, SystemTime};

use trunkline_core_types::{Call, Intent, Timestamp};

use crate::inner::Route;
use crate::job::MAX_TIME;

/// How far the provider's clock and ours may be apart.
const SKEW: Duration = Duration::from_secs(300);

/// What look-ups say of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was placed, as this call.
    Ours(Call),
    /// It was not placed.
    Absent,
    /// This is the only call that can be it, and nothing on it says so.
    Only(Call),
    /// Nothing is proven.
    Unclear,
}

/// When a call of which the journal keeps the fence can have been created.
#[derive(Debug)]
pub(super) struct Window {
    /// Nothing of it left before.
    earliest: SystemTime,
    /// It was most likely created from here ...
    from: SystemTime,
    /// ... to here.
    until: SystemTime,
}

impl Window {
    pub(super) fn of(intent: &Intent, route: &Route) -> Self {
        Self::around(intent.fence, route.total.min(MAX_TIME), route.processing_delay)
    }

    /// The fence of a call lies at most [`MAX_TIME`] after its first byte, and the account's own time if the caller gave it none.
    fn around(fence: SystemTime, total: Duration, processing: Duration) -> Self {
        let before = |time: Duration| fence.checked_sub(time + SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        let until = fence.checked_add(processing.saturating_add(SKEW)).unwrap_or(fence);
        Self { earliest: before(MAX_TIME), from: before(total), until }
    }

    /// From when on to list; `None` for a time that no provider can read.
    pub(super) fn since(&self) -> Option<Timestamp> {
        Timestamp::try_from(self.earliest).ok()
    }

    /// Of the calls without a key in a whole listing. Only an empty one proves absence: a call outside of the likely time may still be
    /// ours, under a time of its own or by a clock that is wrong.
    pub(super) fn tell(&self, nameless: Vec<Call>) -> Told {
        let mut nameless = nameless.into_iter();
        match (nameless.next(), nameless.next()) {
            (None, _) => Told::Absent,
            (Some(call), None) if self.is_likely(&call) => Told::Only(call),
            _ => Told::Unclear,
        }
    }

    fn is_likely(&self, call: &Call) -> bool {
        let created = call.created.map(SystemTime::from);
        created.is_some_and(|at| self.from <= at && at <= self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core_types::CallStatus;

    fn call(created: Option<SystemTime>) -> Call {
        let mut call = Call::new("call_1".parse().unwrap(), CallStatus::Queued);
        call.created = created.map(|at| at.try_into().unwrap());
        call
    }

    #[test]
    fn one_call_in_its_minutes_is_the_only_one_and_everything_else_is_unclear() {
        let second = Duration::from_secs(1);
        let fence = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let window = Window::around(fence, 30 * second, 60 * second);
        let (from, until) = (fence - 330 * second, fence + 360 * second);
        for at in [from, fence, until] {
            assert_eq!(window.tell(vec![call(Some(at))]), Told::Only(call(Some(at))));
        }
        for at in [from - second, until + second] {
            assert_eq!(window.tell(vec![call(Some(at))]), Told::Unclear);
        }
        assert_eq!(window.tell(vec![call(None)]), Told::Unclear);
        assert_eq!(window.tell(vec![call(Some(fence)), call(Some(fence))]), Told::Unclear);
        assert_eq!(window.tell(Vec::new()), Told::Absent);
        assert_eq!(SystemTime::from(window.since().unwrap()), fence - MAX_TIME - SKEW);
    }
}

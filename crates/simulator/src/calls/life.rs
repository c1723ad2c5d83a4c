//! What time does to a call: a pure function of its age.

use std::time::Duration;

/// How long each step of a call takes. The account's number answers every call that rings long enough.
///
/// A call is `queued`, then `ringing`, then `answered`, then `completed`. It is `no_answer` if its `ring_timeout` ends
/// first, and its conversation is cut at its `max_duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLife {
    /// From creation to the first ring. Default: 1 s.
    pub queued: Duration,
    /// From the first ring to the answer. Default: 4 s.
    pub ringing: Duration,
    /// From the answer to the end. Default: 20 s.
    pub talking: Duration,
}

impl Default for CallLife {
    fn default() -> Self {
        Self {
            queued: Duration::from_secs(1),
            ringing: Duration::from_secs(4),
            talking: Duration::from_secs(20),
        }
    }
}

/// Where a call stands. Times are ages, counted from its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) status: &'static str,
    pub(crate) ringing: Option<Duration>,
    pub(crate) answered: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    /// Age at which it was looked at, or ended.
    pub(crate) until: Duration,
}

impl Progress {
    /// A call in the moment of its creation: what its create was answered, and what a replay answers again.
    pub(crate) fn created() -> Self {
        Self { status: "queued", ringing: None, answered: None, ended: None, until: Duration::ZERO }
    }

    /// Its place in a call's life: 1 queued, 2 ringing, 3 answered, 4 ended.
    pub(crate) fn rank(&self) -> u8 {
        match (self.ended, self.answered, self.ringing) {
            (Some(_), _, _) => 4,
            (_, Some(_), _) => 3,
            (_, _, Some(_)) => 2,
            _ => 1,
        }
    }

    /// Seconds of conversation so far, begun minutes and all; none before an answer.
    pub(crate) fn talked(&self) -> Option<Duration> {
        self.answered.map(|at| self.until.saturating_sub(at))
    }
}

impl CallLife {
    /// Where a call of this age stands; `limits` are its ring timeout and its longest conversation, in seconds.
    pub(crate) fn progress(&self, limits: (u32, u32), hung_up: Option<Duration>, age: Duration) -> Progress {
        let heard = self.is_heard(limits);
        let [ring_at, answer_at, end_at] = self.steps(limits);

        let stop = hung_up.filter(|at| *at <= age && *at < end_at);
        let until = stop.unwrap_or(age).min(end_at);
        let passed = |at: Duration| (at <= until).then_some(at);
        let (ringing, answered) = (passed(ring_at), passed(answer_at).filter(|_| heard));
        let ended = stop.or_else(|| passed(end_at));
        let status = match (ended, answered, ringing) {
            (Some(_), Some(_), _) => "completed",
            (Some(_), None, _) if stop.is_some() => "canceled",
            (Some(_), None, _) => "no_answer",
            (None, Some(_), _) => "answered",
            (None, None, Some(_)) => "ringing",
            (None, None, None) => "queued",
        };
        Progress { status, ringing, answered, ended, until }
    }

    /// The age at which the next step after `age` begins, if nobody hangs up.
    pub(crate) fn next_step(&self, limits: (u32, u32), age: Duration) -> Option<Duration> {
        self.steps(limits).into_iter().find(|at| *at > age)
    }

    fn is_heard(&self, limits: (u32, u32)) -> bool {
        self.ringing < seconds(limits.0)
    }

    /// The ages at which it rings, is answered if anybody hears it, and ends.
    fn steps(&self, limits: (u32, u32)) -> [Duration; 3] {
        let answer_at = self.queued.saturating_add(self.ringing.min(seconds(limits.0)));
        let talked = if self.is_heard(limits) { self.talking.min(seconds(limits.1)) } else { Duration::ZERO };
        [self.queued, answer_at, answer_at.saturating_add(talked)]
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: (u32, u32) = (30, 14_400);

    fn at(age_ms: u64, hung_up_ms: Option<u64>, limits: (u32, u32)) -> Progress {
        CallLife::default().progress(
            limits,
            hung_up_ms.map(Duration::from_millis),
            Duration::from_millis(age_ms),
        )
    }

    #[test]
    fn the_default_life() {
        let steps = [
            (0, "queued"),
            (999, "queued"),
            (1000, "ringing"),
            (4999, "ringing"),
            (5000, "answered"),
            (24_999, "answered"),
            (25_000, "completed"),
            (u64::MAX, "completed"),
        ];
        for (age, status) in steps {
            assert_eq!(at(age, None, LIMITS).status, status, "{age} ms");
        }
        assert_eq!(at(u64::MAX, None, LIMITS).talked(), Some(Duration::from_secs(20)));
    }

    #[test]
    fn limits_of_the_call_hold() {
        let slow = CallLife { ringing: Duration::from_secs(10), ..CallLife::default() };
        let unheard = slow.progress((5, 10), None, Duration::from_secs(100));
        assert_eq!(
            (unheard.status, unheard.answered, unheard.ended),
            ("no_answer", None, Some(Duration::from_secs(6)))
        );
        assert_eq!(at(100_000, None, (30, 7)).talked(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_hang_up_cancels_or_completes() {
        for (hung_up, status) in
            [(0, "canceled"), (4999, "canceled"), (5000, "completed"), (24_999, "completed")]
        {
            let progress = at(60_000, Some(hung_up), LIMITS);
            assert_eq!((progress.status, progress.ended), (status, Some(Duration::from_millis(hung_up))));
        }
        assert_eq!(at(60_000, Some(30_000), LIMITS), at(60_000, None, LIMITS));
    }

    proptest! {
        #[test]
        fn no_step_goes_back(early in 0u64..40_000, later in 0u64..40_000, hung_up in proptest::option::of(0u64..40_000)) {
            let rank = |p: Progress| match p.status { "queued" => 0, "ringing" => 1, "answered" => 2, _ => 3 };
            let (a, b) = (at(early, hung_up, LIMITS), at(early + later, hung_up, LIMITS));
            prop_assert!(rank(a) <= rank(b));
            if a.ended.is_some() {
                prop_assert_eq!(a, b);
            }
        }
    }
}

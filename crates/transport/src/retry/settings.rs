//! How often and after what pauses to try again: the presets and their arithmetic.

use std::time::Duration;

use trunkline_core_types::{Attempt, InputError};

use super::cause::Cause;

/// How often and after what pauses an operation is tried again, where that cannot ring twice. Plain data.
///
/// Whether a repeat is harmless is not a setting: the retry gate decides it first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySettings {
    /// Tries in all, the first included. Default 3.
    pub max_tries: u32,
    /// The pause before the first repeat is drawn from zero to this ("full jitter"), before the second from zero to twice this, and so
    /// on. Default 2 s.
    pub base: Duration,
    /// The same after a throttle (429). Default 2 s.
    pub throttle_base: Duration,
    /// The longest pause drawn. Default 10 s.
    pub cap: Duration,
    /// The longest wait that a provider's reply (`Retry-After`) is believed to ask for, by this call and by the pause of the account. Default 5
    /// min. A wait that does not fit before the deadline ends the operation.
    pub max_wait: Duration,
    /// How far that wait may lie above the drawn pause: with `Some(slack)` it is clamped to between the pause and the pause plus this.
    /// Default `None`: it is kept as asked.
    pub wait_slack: Option<Duration>,
}

impl Default for RetrySettings {
    /// [`RetrySettings::article`].
    fn default() -> Self {
        Self::article()
    }
}

impl RetrySettings {
    /// Exponential back-off with 3 tries, 2 s to 10 s, full jitter; a wait that the provider asks for is kept, up to 5 min. The default.
    pub fn article() -> Self {
        Self {
            max_tries: 3,
            base: Duration::from_secs(2),
            throttle_base: Duration::from_secs(2),
            cap: Duration::from_secs(10),
            max_wait: Duration::from_secs(300),
            wait_slack: None,
        }
    }

    /// The AWS SDKs' standard mode 2.1: 3 tries, from 50 ms, after a throttle from 1 s, up to 20 s before the jitter; a wait that the
    /// provider asks for is clamped to between the drawn pause and 5 s more.
    ///
    /// The account's pause after a throttle is not clamped so; creates wait for it all the same.
    pub fn aws_standard_2_1() -> Self {
        Self {
            max_tries: 3,
            base: Duration::from_millis(50),
            throttle_base: Duration::from_secs(1),
            cap: Duration::from_secs(20),
            max_wait: Duration::from_secs(300),
            wait_slack: Some(Duration::from_secs(5)),
        }
    }

    /// One try, no repeat that counts. A dead pooled connection is still replaced.
    pub fn never() -> Self {
        Self { max_tries: 1, ..Self::default() }
    }

    /// Has these settings count for this one operation, instead of those of the layer. The retry budget stays the account's.
    pub fn attach(self, attempt: &mut Attempt) {
        attempt.request_mut().extensions_mut().insert(self);
    }

    /// Checks that every value can work.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn check(&self) -> Result<(), InputError> {
        const DAY: Duration = Duration::from_secs(86_400);
        if !(1..=100).contains(&self.max_tries) {
            return Err(InputError::new("max_tries", format!("must be 1 to 100; got {}", self.max_tries)));
        }
        let times = [
            ("base", self.base),
            ("throttle_base", self.throttle_base),
            ("cap", self.cap),
            ("max_wait", self.max_wait),
            ("wait_slack", self.wait_slack.unwrap_or_default()),
        ];
        match times.into_iter().find(|(_, time)| *time > DAY) {
            None => Ok(()),
            Some((field, time)) => {
                Err(InputError::new(field, format!("must be at most a day; got {time:?}")))
            }
        }
    }

    /// The pause before repeat number `repeat` (from 1): `jitter` is a fraction of the longest, `asked` what the reply asks for.
    pub(super) fn pause(&self, cause: Cause, repeat: u32, asked: Option<Duration>, jitter: f64) -> Duration {
        let drawn = self.ceiling(cause, repeat).mul_f64(jitter);
        let Some(asked) = asked else { return drawn };
        let believed = asked.min(self.max_wait);
        match (cause, self.wait_slack) {
            // Our own side knows its wait.
            (Cause::Local, _) => asked,
            (_, None) => believed,
            (_, Some(slack)) => believed.clamp(drawn, drawn.saturating_add(slack)),
        }
    }

    /// The longest pause drawn before repeat number `repeat`.
    fn ceiling(&self, cause: Cause, repeat: u32) -> Duration {
        let base = if cause == Cause::Throttle { self.throttle_base } else { self.base };
        let factor = 1u32.checked_shl(repeat.saturating_sub(1)).unwrap_or(u32::MAX);
        base.checked_mul(factor).unwrap_or(self.cap).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let settings = RetrySettings::default();
        let ceilings = [1, 2, 3, 4, 40, u32::MAX].map(|n| settings.ceiling(Cause::Other, n).as_secs());
        assert_eq!(ceilings, [2, 4, 8, 10, 10, 10]);
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_up_to_its_bound() {
        let settings = RetrySettings::article();
        let pause = |cause, asked| settings.pause(cause, 1, Some(Duration::from_secs(asked)), 1.0).as_secs();
        assert_eq!(pause(Cause::Throttle, 0), 0);
        assert_eq!(pause(Cause::Throttle, 299), 299);
        assert_eq!(pause(Cause::Throttle, 301), 300);
        assert_eq!(pause(Cause::Local, 301), 301);
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let long = Duration::from_secs(86_401);
        let field = |settings: RetrySettings| settings.check().unwrap_err().field().to_owned();
        assert_eq!(field(RetrySettings { max_tries: 0, ..Default::default() }), "max_tries");
        assert_eq!(field(RetrySettings { max_tries: 101, ..Default::default() }), "max_tries");
        assert_eq!(field(RetrySettings { base: long, ..Default::default() }), "base");
        assert_eq!(field(RetrySettings { wait_slack: Some(long), ..Default::default() }), "wait_slack");
        for preset in [RetrySettings::article(), RetrySettings::aws_standard_2_1(), RetrySettings::never()] {
            assert_eq!(preset.check(), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn a_drawn_pause_is_at_most_the_cap(repeat: u32, jitter in 0.0..1.0, throttled: bool) {
            let cause = if throttled { Cause::Throttle } else { Cause::Timeout };
            for settings in [RetrySettings::article(), RetrySettings::aws_standard_2_1()] {
                prop_assert!(settings.pause(cause, repeat, None, jitter) <= settings.cap);
            }
        }
    }
}

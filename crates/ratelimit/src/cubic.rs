//! A rate that follows a server's throttles down and creeps back: the AWS SDKs' adaptive mode.

use std::time::Duration;

/// Over what the real rate is measured.
const BUCKET: f64 = 0.5;
/// Weight of the last bucket in the real rate.
const SMOOTH: f64 = 0.8;
/// What is left of the rate after a throttle.
const BETA: f64 = 0.7;
/// How steeply the rate grows back.
const SCALE: f64 = 0.4;
/// The least rate.
const LEAST: f64 = 0.5;

/// Works out, after each answer, how many requests a second a client should start: pure, over the time it is handed.
///
/// A throttle leaves seven tenths of the rate that was really sent. After it the rate grows along a cubic curve: fast at first, flat around
/// the rate that was throttled, then ever faster, and never above twice what is really sent. The published rules and their cases are
/// those of the AWS SDKs (adaptive retry mode, read 2026-11-23).
///
/// It decides nothing by itself: [`LocalPacer::set_rate`](crate::LocalPacer::set_rate) takes what it says. Keep the account's own rate as a
/// ceiling, since it knows none, and do not use it for a provider whose 429 is about a count and not about a pace: there the pause that
/// the pacer makes of a throttle is the whole answer.
///
/// ```
/// # use trunkline_ratelimit::Cubic;
/// # use std::time::Duration;
/// let mut cubic = Cubic::new();
/// for tenth in 0..20 {
///     assert_eq!(cubic.succeeded(Duration::from_millis(100 * tenth)), None, "no limit before the first throttle");
/// }
/// let after = cubic.throttled(Duration::from_secs(2));
/// assert!(after > 6.0 && after < 8.0, "about seven tenths of ten a second: {after}");
/// ```
#[derive(Debug, Clone)]
pub struct Cubic {
    curve: Curve,
    fill: f64,
    limits: bool,
    sent: Sent,
}

/// The curve on which the rate grows back after a throttle. Times in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Curve {
    /// The rate at the last throttle, where the curve is flat.
    top: f64,
    throttled_at: f64,
}

/// The rate that is really sent.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    bucket: f64,
    count: f64,
    rate: f64,
}

impl Default for Cubic {
    fn default() -> Self {
        Self::new()
    }
}

impl Cubic {
    /// Without a limit, until the first throttle.
    pub fn new() -> Self {
        Self { curve: Curve::default(), fill: LEAST, limits: false, sent: Sent::default() }
    }

    /// An answer that is no throttle came at `now`, counted from any fixed moment. What the rate is from here on; `None` as long as nothing
    /// limits it.
    pub fn succeeded(&mut self, now: Duration) -> Option<f64> {
        let now = now.as_secs_f64();
        self.sent.note(now);
        self.grow(now);
        self.rate()
    }

    /// A throttle came at `now`. What the rate is from here on.
    pub fn throttled(&mut self, now: Duration) -> f64 {
        let now = now.as_secs_f64();
        self.sent.note(now);
        self.cut(now);
        self.fill
    }

    /// Starts a second, at least 0.5; `None` before the first throttle.
    pub fn rate(&self) -> Option<f64> {
        self.limits.then_some(self.fill)
    }

    /// How many may start at once after a rest, at the present rate: at least 1.
    pub fn capacity(&self) -> f64 {
        self.fill.max(1.0)
    }

    fn grow(&mut self, now: f64) {
        self.fill_at_most(self.curve.grown(now));
    }

    fn cut(&mut self, now: f64) {
        let top = if self.limits { self.sent.rate.min(self.fill) } else { self.sent.rate };
        self.curve = Curve { top, throttled_at: now };
        self.limits = true;
        self.fill_at_most(BETA * top);
    }

    fn fill_at_most(&mut self, rate: f64) {
        self.fill = rate.min(2.0 * self.sent.rate).max(LEAST);
    }
}

impl Curve {
    /// Where the curve is flat, counted from the throttle.
    fn flat(self) -> f64 {
        (self.top * (1.0 - BETA) / SCALE).cbrt()
    }

    fn grown(self, now: f64) -> f64 {
        SCALE * (now - self.throttled_at - self.flat()).powi(3) + self.top
    }
}

impl Sent {
    fn note(&mut self, now: f64) {
        let bucket = (now / BUCKET).floor() * BUCKET;
        self.count += 1.0;
        if bucket > self.bucket {
            let last = self.count / (bucket - self.bucket);
            self.rate = SMOOTH * last + (1.0 - SMOOTH) * self.rate;
            (self.count, self.bucket) = (0.0, bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::path::PathBuf;

    /// The published cases, or those of the same file name in `TRUNKLINE_VECTORS`.
    fn cases() -> Value {
        let folder = std::env::var_os("TRUNKLINE_VECTORS")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"));
        let path = folder.join("aws-standard-retry.json");
        let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let all: Value = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        all["adaptive_cubic"].clone()
    }

    fn number(of: &Value, name: &str) -> f64 {
        of[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {of}"))
    }

    fn steps(case: &Value) -> &[Value] {
        let steps = case["steps"].as_array().unwrap();
        assert!(!steps.is_empty());
        steps
    }

    #[test]
    fn the_constants_are_the_published_ones() {
        let all = cases();
        let ours = [("beta", BETA), ("scale", SCALE), ("min_fill_rate", LEAST), ("smooth", SMOOTH)];
        ours.iter().for_each(|(name, value)| assert_eq!(number(&all, name), *value, "{name}"));
        assert_eq!(number(&all, "min_capacity"), Cubic::new().capacity());
    }

    #[test]
    fn the_curve_after_a_throttle_and_between_throttles() {
        let all = cases();
        for name in ["success_only", "mixed"] {
            let case = &all[name];
            let mut curve = Curve {
                top: number(case, "last_max_rate"),
                throttled_at: number(case, "last_throttle_time"),
            };
            let mut rate = curve.top;
            for step in steps(case) {
                let now = number(step, "t");
                if step["response"] == "throttle" {
                    curve = Curve { top: rate, throttled_at: now };
                    rate *= BETA;
                } else {
                    rate = curve.grown(now);
                }
                let want = number(step, "rate");
                assert!((rate - want).abs() < 1e-6, "{name} at {now}: {rate}, published {want}");
            }
        }
    }

    #[test]
    fn a_client_from_its_first_answer_on() {
        let case = &cases()["end_to_end"];
        let (mut cubic, tolerance) = (Cubic::new(), number(case, "tolerance"));
        let mut throttled = false;
        for step in steps(case) {
            let now = Duration::from_secs_f64(number(step, "t"));
            if step["response"] == "throttle" {
                cubic.throttled(now);
                throttled = true;
            } else {
                assert_eq!(cubic.succeeded(now).is_some(), throttled);
            }
            for (ours, name) in [(cubic.sent.rate, "measured_tx_rate"), (cubic.fill, "new_fill_rate")] {
                let want = number(step, name);
                assert!((ours - want).abs() <= tolerance, "{name} at {now:?}: {ours}, published {want}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_rate_stays_between_its_least_and_twice_what_is_sent(
            answers in prop::collection::vec((0u64..5_000, any::<bool>()), 1..200),
        ) {
            let (mut cubic, mut now) = (Cubic::new(), Duration::ZERO);
            for (millis, throttle) in answers {
                now += Duration::from_millis(millis);
                let before = cubic.rate();
                if throttle {
                    let after = cubic.throttled(now);
                    prop_assert!(before.is_none_or(|before| after <= before), "a throttle never lets more through");
                } else {
                    cubic.succeeded(now);
                }
                prop_assert!(cubic.fill >= LEAST && cubic.fill <= (2.0 * cubic.sent.rate).max(LEAST));
            }
        }
    }
}

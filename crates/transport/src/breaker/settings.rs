//! Settings of the breaker, with the values they start from.

use std::time::Duration;

use trunkline_core_types::InputError;

/// When an account's breaker opens and how it closes again. Plain data; [`Default`] gives the values named here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// Attempts of this long are looked back at, to a tenth of it. Default 60 s, 1 s to an hour.
    pub window: Duration,
    /// It does not open on fewer recorded attempts than this. Default 20. Too few, and bad luck opens it.
    pub minimum: u32,
    /// It opens when this share of them failed, in percent. Default 50, 1 to 100.
    pub failed_percent: u32,
    /// How long it stays open at least; up to a quarter more is drawn at random, so that workers do not come back together. Default 30 s,
    /// 1 ms to an hour.
    pub open_for: Duration,
    /// Attempts that probe after that, and must all be answered well for it to close. Default 3, 1 to 100.
    pub probes: u32,
    /// A timeout counts against the provider from this long on; a shorter one is the haste of its caller. Default 1 s.
    pub patience: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            minimum: 20,
            failed_percent: 50,
            open_for: Duration::from_secs(30),
            probes: 3,
            patience: Duration::from_secs(1),
        }
    }
}

impl BreakerSettings {
    /// A breaker that does not open.
    pub fn never() -> Self {
        Self { minimum: u32::MAX, ..Self::default() }
    }

    /// Checks that every value can work.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn check(&self) -> Result<(), InputError> {
        const HOUR: Duration = Duration::from_secs(3_600);
        let counts = [
            ("minimum", self.minimum, u32::MAX),
            ("failed_percent", self.failed_percent, 100),
            ("probes", self.probes, 100),
        ];
        for (field, count, most) in counts {
            if !(1..=most).contains(&count) {
                return Err(InputError::new(field, format!("must be 1 to {most}; got {count}")));
            }
        }
        let times = [
            ("window", self.window, Duration::from_secs(1)),
            ("open_for", self.open_for, Duration::from_millis(1)),
            ("patience", self.patience, Duration::ZERO),
        ];
        for (field, time, least) in times {
            if !(least..=HOUR).contains(&time) {
                return Err(InputError::new(field, format!("must be {least:?} to an hour; got {time:?}")));
            }
        }
        Ok(())
    }
}

//! Points in time as they travel: RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::InputError;

/// A point in time, UTC, to the nanosecond.
///
/// ```
/// # use trunkline_core_types::Timestamp;
/// let created: Timestamp = "2023-07-20T08:00:00Z".parse().unwrap();
/// assert_eq!(created.to_string(), "2023-07-20T08:00:00Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl FromStr for Timestamp {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        text.parse().map(Self).map_err(|_| {
            InputError::new("time", "not an RFC 3339 time with a zone, such as 2026-01-31T08:00:00Z")
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = InputError;

    fn try_from(at: SystemTime) -> Result<Self, InputError> {
        let outside = |_| InputError::new("time", "outside of the years -9999 to 9999");
        jiff::Timestamp::try_from(at).map(Self).map_err(outside)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        at.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn times_survive_their_text(seconds in 0u64..4_000_000_000, nanos in 0u32..1_000_000_000) {
            let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            let stamp = Timestamp::try_from(at).unwrap();
            prop_assert_eq!(SystemTime::from(stamp.to_string().parse::<Timestamp>().unwrap()), at);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}

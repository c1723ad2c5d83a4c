//! Points in time as they travel: RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::Offset;

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
        if let Some(at) = usual(text) {
            return Ok(Self(at));
        }
        text.parse().map(Self).map_err(|_| {
            InputError::new("time", "not an RFC 3339 time with a zone, such as 2026-01-31T08:00:00Z")
        })
    }
}

/// A time of the one form that nearly all have, `YYYY-MM-DDTHH:MM:SSZ`; `None` leaves the verdict to the whole grammar.
fn usual(text: &str) -> Option<jiff::Timestamp> {
    let &[y, yy, yyy, yyyy, b'-', m, mm, b'-', d, dd, b'T', h, hh, b':', n, nn, b':', s, ss, b'Z'] =
        text.as_bytes()
    else {
        return None;
    };
    let mut all_digits = true;
    let mut pair = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        all_digits &= tens <= 9 && ones <= 9;
        tens.wrapping_mul(10).wrapping_add(ones) as i8
    };
    let year = 100 * i16::from(pair(y, yy)) + i16::from(pair(yyy, yyyy));
    let (month, day) = (pair(m, mm), pair(d, dd));
    let (hour, minute, second) = (pair(h, hh), pair(n, nn), pair(s, ss));
    if !all_digits {
        return None;
    }
    // Knows the months' lengths, and refuses a leap second, which the whole grammar takes.
    let at = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Offset::UTC.to_timestamp(at).ok()
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
        fn the_usual_form_is_read_as_the_whole_grammar_reads_it(
            date in (0u32..10_000, 0u32..14, 0u32..33),
            time in (0u32..26, 0u32..62, 0u32..62),
            odd in prop::option::weighted(0.3, (0usize..20, "[ 0-9:/TtZz+.-]")),
        ) {
            let ((year, month, day), (hour, minute, second)) = (date, time);
            let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
            if let Some((at, other)) = odd {
                text.replace_range(at..=at, &other);
            }
            let whole = text.parse::<jiff::Timestamp>().ok();
            if let Some(read) = usual(&text) {
                prop_assert_eq!(Some(read), whole, "{}", text);
            }
            prop_assert_eq!(text.parse::<Timestamp>().ok(), whole.map(Timestamp));
        }

        #[test]
        fn every_second_has_the_usual_form(seconds in -62_167_219_200i64..253_402_207_200) {
            let at = jiff::Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(usual(&at.to_string()), Some(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}

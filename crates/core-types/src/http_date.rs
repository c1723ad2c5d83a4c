//! Dates as HTTP writes them.

/// Seconds since 1970 of an IMF-fixdate, the one form that senders may write (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
/// The obsolete forms, and anything that is no date of the calendar, give `None`.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = |from: usize, to: usize| text.get(from..to);
    let number = |from, to| {
        let digits: &str = at(from, to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let fixed = [(3, 5, ", "), (7, 8, " "), (11, 12, " "), (16, 17, " "), (19, 20, ":"), (22, 23, ":")];
    let shaped = fixed.iter().all(|(from, to, mark)| at(*from, *to) == Some(*mark));
    if !shaped || at(25, 29) != Some(" GMT") || text.len() != 29 || !DAYS.contains(&at(0, 3)?) {
        return None;
    }
    let month = MONTHS.iter().position(|name| at(8, 11) == Some(*name))? as i64 + 1;
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    // 60 is a leap second.
    let on_the_clock = hour < 24 && minute < 60 && second <= 60;
    let on_the_calendar = (1..=days_in(year, month)).contains(&day);
    (on_the_clock && on_the_calendar)
        .then(|| days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years begin in March here, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    const MARCH_OF_YEAR_0_TO_1970: i64 = 719_468;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - MARCH_OF_YEAR_0_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600),
        ] {
            assert_eq!(unix_seconds(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_of_the_calendar_or_another_form_is_none() {
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2026 00:00:00 GMT",
            "Thu, 29 Feb 1900 00:00:00 GMT",
            "Sun, 31 Apr 2026 00:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08-49-37 GMT",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }

    proptest! {
        /// The judge is another library's calendar.
        #[cfg(feature = "voice")]
        #[test]
        fn agrees_with_another_calendar(seconds in 0i64..253_402_300_800) {
            let date = jiff::Timestamp::from_second(seconds).unwrap();
            let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            prop_assert_eq!(unix_seconds(&text), Some(seconds));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,32}") {
            let _ = unix_seconds(&text);
        }

        #[test]
        fn a_broken_byte_is_no_other_shape(place in 0usize..29, byte in 0x20u8..0x7f) {
            let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
            text[place] = byte;
            let _ = unix_seconds(std::str::from_utf8(&text).unwrap());
        }
    }
}

//! `Retry-After` in seconds and as a date, with another crate's calendar as the judge.

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use trunkline_core_types::retry_after;

use crate::input::Input;

const DAY: u64 = 86_400;

/// The header's value on the first line, that of `Date` on the second.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (asked, date) = (input.line(), input.line());
    let mut headers = HeaderMap::new();
    for (name, value) in [(RETRY_AFTER, asked), (DATE, date)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let wait = retry_after(&headers);
    assert!(wait.is_none_or(|wait| wait.as_secs() <= DAY && wait.subsec_nanos() == 0));
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER).unwrap_or_default();
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = asked.parse().unwrap_or(u64::MAX).min(DAY);
        assert_eq!(wait.map(|wait| wait.as_secs()), Some(seconds));
        return;
    }
    let date = text(DATE).unwrap_or_default();
    let (Some(until), Some(from)) = (judged(asked), judged(date)) else { return };
    assert_eq!(wait.map(|wait| wait.as_secs()), until.checked_sub(from).map(|seconds| seconds.min(DAY)));
}

/// Seconds since 1970 of an IMF-fixdate by the other calendar; none for the other forms.
fn judged(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    // It takes the other forms too, which nobody may write.
    let ours = text.len() == 29 && text.get(3..5) == Some(", ");
    let seconds = at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs();
    ours.then_some(seconds)
}

//! From a reply to a class: the status decides, a provider's judge may only make it more careful or name what it documents.

use std::fmt::Debug;
use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::http_date::unix_seconds;
use crate::{Class, Operation, Scope};

/// What a judge says of a reply that is not a 2xx. Where a verdict does not fit the status, the status holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing beyond the status.
    AsStatus,
    /// A 4xx that rejects, and what it is about.
    Rejected(Scope),
    /// A 4xx that is documented as not acted on; ask again, after the wait if one is given.
    Deferred(Option<Duration>),
    /// The outcome is open.
    Ambiguous,
}

/// What a provider documents about its replies. Pure.
pub trait Judge: Debug + Send + Sync + 'static {
    /// The verdict on a reply; `body` is what arrived, possibly cut off.
    fn judge(&self, operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict;
}

/// A judge that adds nothing to the status.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct StatusOnly {}

impl Judge for StatusOnly {
    fn judge(&self, _: Operation, _: StatusCode, _: &HeaderMap, _: &[u8]) -> Verdict {
        Verdict::AsStatus
    }
}

/// The class of a reply, and the wait the provider asked for.
///
/// 2xx is `Accepted` whatever the judge says; a 4xx other than 408 rejects (401, 402 and 403 the account, else the call) unless the
/// judge defers it or calls it open; everything else is `Ambiguous`.
pub fn class_of_reply(status: StatusCode, verdict: Verdict) -> (Class, Option<Duration>) {
    if status.is_success() {
        return (Class::Accepted, None);
    }
    if !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT {
        return (Class::Ambiguous, None);
    }
    match verdict {
        Verdict::Ambiguous => (Class::Ambiguous, None),
        Verdict::Deferred(wait) => (Class::Deferred, wait),
        Verdict::Rejected(scope) => (Class::Rejected(scope), None),
        Verdict::AsStatus => (Class::Rejected(scope_of(status)), None),
    }
}

fn scope_of(status: StatusCode) -> Scope {
    match status.as_u16() {
        401..=403 => Scope::Account,
        _ => Scope::Call,
    }
}

/// The wait that a reply asks for with `Retry-After` (RFC 9110, 10.2.3), at most one day: whole seconds, or a date less the reply's own
/// `Date`, so that no clock of ours comes in. Absent, past, negative, fractional, unreadable, or a date in a reply without `Date`: `None`.
///
/// ```
/// # use http::HeaderMap;
/// # use trunkline_core_types::retry_after;
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "3".parse().unwrap());
/// assert_eq!(retry_after(&headers), Some(std::time::Duration::from_secs(3)));
///
/// headers.insert("date", "Sun, 06 Nov 1994 08:49:30 GMT".parse().unwrap());
/// headers.insert("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
/// assert_eq!(retry_after(&headers), Some(std::time::Duration::from_secs(7)));
/// ```
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const DAY: u64 = 86_400;
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let asked = text(RETRY_AFTER)?;
    let seconds = match !asked.is_empty() && asked.bytes().all(|b| b.is_ascii_digit()) {
        true => asked.parse().unwrap_or(u64::MAX),
        false => u64::try_from(unix_seconds(asked)? - unix_seconds(text(DATE)?)?).ok()?,
    };
    Some(Duration::from_secs(seconds.min(DAY)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(code: u16, verdict: Verdict) -> Class {
        class_of_reply(StatusCode::from_u16(code).unwrap(), verdict).0
    }

    const VERDICTS: [Verdict; 5] = [
        Verdict::AsStatus,
        Verdict::Rejected(Scope::Call),
        Verdict::Rejected(Scope::Account),
        Verdict::Deferred(None),
        Verdict::Ambiguous,
    ];

    #[test]
    fn a_judge_can_lift_or_lower_a_4xx_only() {
        for verdict in VERDICTS {
            assert_eq!(class(201, verdict), Class::Accepted);
            for open in [302, 408, 500, 503, 529, 999] {
                assert_eq!(class(open, verdict), Class::Ambiguous, "{open} {verdict:?}");
            }
        }
        assert_eq!(class(429, Verdict::Deferred(None)), Class::Deferred);
        assert_eq!(class(409, Verdict::Ambiguous), Class::Ambiguous);
        assert_eq!(class(400, Verdict::AsStatus), Class::Rejected(Scope::Call));
        assert_eq!(class(403, Verdict::AsStatus), Class::Rejected(Scope::Account));
        assert_eq!(class(403, Verdict::Rejected(Scope::Call)), Class::Rejected(Scope::Call));
    }

    fn read(asked: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, asked.parse().unwrap());
        date.map(|date| headers.insert(DATE, date.parse().unwrap()));
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(read("0", None), Some(0));
        assert_eq!(read(" 7 ", None), Some(7));
        assert_eq!(read("99999999999999999999999", None), Some(86_400));
        for odd in ["-1", "1.5", "", "+3", "3s", "soon", "1 2"] {
            assert_eq!(read(odd, Some("Wed, 21 Oct 2015 07:28:00 GMT")), None, "{odd}");
        }
    }

    #[test]
    fn retry_after_as_a_date_is_relative_to_the_replys_own() {
        let now = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(0));
        assert_eq!(read("Wed, 21 Oct 2015 07:30:05 GMT", now), Some(125));
        assert_eq!(read("Fri, 23 Oct 2015 07:28:00 GMT", now), Some(86_400));
        assert_eq!(read("Wed, 21 Oct 2015 07:27:59 GMT", now), None);
        assert_eq!(read("Wed, 21 Oct 2015 07:30:05 GMT", None), None);
        assert_eq!(read("Wed, 21 Oct 2015 07:30:05 GMT", Some("yesterday")), None);
    }

    proptest! {
        #[test]
        fn retry_after_never_panics(asked in "[ -~]{0,40}", date in "[ -~]{0,40}") {
            let _ = read(&asked, Some(&date));
        }
    }
}

//! A call and a page as they travel.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::Call;
use super::life::Progress;
use crate::book::BookedCall;

/// The caller id of a call that names none.
const ACCOUNT_NUMBER: &str = "+14155550100";

/// Millionths of a dollar for each started minute of conversation: 0.015 USD.
const PRICE_PER_MINUTE: u64 = 15_000;

#[derive(Debug, Serialize)]
pub(crate) struct CallView<'a> {
    call_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    timestamps: Timestamps,
    cost: Box<RawValue>,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: Tags<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Timestamps {
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ringing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
}

#[derive(Debug)]
struct Tags<'a>(&'a [(String, String)]);

impl Tags<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> CallView<'a> {
    pub(crate) fn new(call: &'a Call, progress: Progress) -> Self {
        let at = |age: Option<Duration>| age.map(|age| moment(call.created, age));
        Self {
            call_id: &call.id,
            status: progress.status,
            to: Some(&call.draft.to),
            from: Some(call.draft.from.as_deref().unwrap_or(ACCOUNT_NUMBER)),
            timestamps: Timestamps {
                created: moment(call.created, Duration::ZERO),
                ringing: at(progress.ringing),
                answered: at(progress.answered),
                ended: at(progress.ended),
            },
            cost: number(cost(&progress)),
            currency: "USD",
            duration: progress.ended.map(|_| progress.talked().unwrap_or_default().as_secs()),
            tags: Tags(&call.draft.tags),
            idempotency_key: call.key.as_deref(),
        }
    }
}

impl CallView<'_> {
    /// Of a service that does not give keys back.
    pub(crate) fn without_key(self) -> Self {
        Self { idempotency_key: None, ..self }
    }

    /// As it stands in an event: the numbers stay at home.
    pub(crate) fn without_people(self) -> Self {
        Self { to: None, from: None, ..self }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct PageView<'a> {
    data: Vec<CallView<'a>>,
    has_more: bool,
    last_id: Option<&'a str>,
}

impl<'a> PageView<'a> {
    pub(crate) fn new(data: Vec<CallView<'a>>, has_more: bool, calls: &[&'a Call]) -> Self {
        Self { data, has_more, last_id: calls.last().map(|call| call.id.as_str()) }
    }
}

pub(super) fn booked(call: &Call, progress: Progress) -> BookedCall {
    BookedCall {
        call_id: call.id.clone(),
        to: call.draft.to.clone(),
        from: call.draft.from.clone().unwrap_or_else(|| ACCOUNT_NUMBER.to_owned()),
        said: call.draft.said.clone(),
        idempotency_key: call.key.clone(),
        callback_url: call.draft.callback_url.clone(),
        tags: call.draft.tags.clone(),
        status: progress.status,
        created: call.created.into(),
    }
}

pub(crate) fn moment(created: Timestamp, age: Duration) -> String {
    let age = SignedDuration::from_millis(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    created.saturating_add(age).unwrap_or(created).to_string()
}

/// Price in millionths: the first minute at creation, each started minute of conversation, nothing without an answer.
fn cost(progress: &Progress) -> u64 {
    match (progress.talked(), progress.ended) {
        (None, Some(_)) => 0,
        (None, None) => PRICE_PER_MINUTE,
        (Some(talked), _) => {
            let minutes = talked.as_nanos().div_ceil(60_000_000_000).max(1);
            u64::try_from(minutes).unwrap_or(u64::MAX).saturating_mul(PRICE_PER_MINUTE)
        }
    }
}

/// Exact decimal text as a JSON number; no float is involved.
fn number(millionths: u64) -> Box<RawValue> {
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    let text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_text() {
        for (millionths, text) in [
            (0, "0"),
            (15_000, "0.015"),
            (1_500_000, "1.5"),
            (30_000, "0.03"),
            (1, "0.000001"),
            (10_000_000, "10"),
        ] {
            assert_eq!(number(millionths).get(), text);
        }
    }

    #[test]
    fn a_started_minute_is_a_minute() {
        let talk = |seconds: u64| Progress {
            answered: Some(Duration::ZERO),
            until: Duration::from_secs(seconds),
            ..Progress::created()
        };
        for (seconds, price) in [(0, 15_000), (1, 15_000), (60, 15_000), (61, 30_000), (3600, 900_000)] {
            assert_eq!(cost(&talk(seconds)), price, "{seconds} s");
        }
        assert_eq!(cost(&Progress::created()), 15_000);
        assert_eq!(cost(&Progress { ended: Some(Duration::ZERO), ..Progress::created() }), 0);
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let created: Timestamp = "2026-01-31T08:00:00Z".parse().unwrap();
        assert_eq!(moment(created, Duration::ZERO), "2026-01-31T08:00:00Z");
        assert_eq!(moment(created, Duration::from_millis(4250)), "2026-01-31T08:00:04.25Z");
    }
}

//! A call as nearly every reply writes it, read in one pass; whatever is unusual is left to the reader that words errors.

use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use trunkline_core_types::{Call, CallStatus, Currency, Money};

/// The call in `body`, and what the other reader would say; `None` leaves the verdict to it.
///
/// Read here: known words of a status, strings without an escape, each field once and none of them null.
pub(super) fn call(body: &[u8], currency: Currency) -> Option<Call> {
    let mut json = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
    let mut fields = Fields::default();
    json.deserialize_map(Object(&mut fields)).ok()?;
    json.end().ok()?;
    let status = fields.status?.parse().ok().filter(|status| !matches!(status, CallStatus::Unknown(_)))?;
    let mut call = Call::new(fields.call_id?.parse().ok()?, status);
    let times = fields.timestamps?;
    call.created = Some(times.created?.parse().ok()?);
    call.ended = times.ended.map(str::parse).transpose().ok()?;
    call.to = fields.to.map(str::parse).transpose().ok()?;
    let currency = fields.currency.map(str::parse).transpose().ok()?.unwrap_or(currency);
    call.cost = Some(Money::parse(fields.cost?.get(), currency).ok()?);
    call.duration = fields.duration.map(|seconds| Duration::from_secs(seconds.into()));
    Some(call)
}

/// The fields of an object, one after another.
trait Take<'a> {
    /// Takes the value of `name`; false if it was there before.
    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

#[derive(Default)]
struct Fields<'a> {
    call_id: Option<&'a str>,
    status: Option<&'a str>,
    to: Option<&'a str>,
    timestamps: Option<Times<'a>>,
    cost: Option<&'a RawValue>,
    currency: Option<&'a str>,
    duration: Option<u32>,
    idempotency_key: Option<IgnoredAny>,
}

impl<'a> Take<'a> for Fields<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        Ok(match name {
            "call_id" => self.call_id.replace(map.next_value()?).is_none(),
            "status" => self.status.replace(map.next_value()?).is_none(),
            "to" => self.to.replace(map.next_value()?).is_none(),
            "timestamps" if self.timestamps.is_some() => false,
            "timestamps" => {
                map.next_value_seed(Object(self.timestamps.insert(Times::default()))).map(|()| true)?
            }
            "cost" => self.cost.replace(map.next_value()?).is_none(),
            "currency" => self.currency.replace(map.next_value()?).is_none(),
            "duration" => self.duration.replace(map.next_value()?).is_none(),
            "idempotency_key" => self.idempotency_key.replace(map.next_value()?).is_none(),
            _ => map.next_value().map(|IgnoredAny| true)?,
        })
    }
}

#[derive(Default)]
struct Times<'a> {
    created: Option<&'a str>,
    ended: Option<&'a str>,
}

impl<'a> Take<'a> for Times<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        Ok(match name {
            "created" => self.created.replace(map.next_value()?).is_none(),
            "ended" => self.ended.replace(map.next_value()?).is_none(),
            _ => map.next_value().map(|IgnoredAny| true)?,
        })
    }
}

/// An object and no list, whose names have no escape: each field once, into the fields behind it.
struct Object<'f, T>(&'f mut T);

impl<'a, T: Take<'a>> DeserializeSeed<'a> for Object<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'a, T: Take<'a>> Visitor<'a> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that has each field once")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&str>()? {
            if !self.0.take(name, &mut map)? {
                return Err(Error::custom("a field twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::whole;
    use proptest::prelude::*;

    const FULL: &str = r#" {"call_id": "call_5f2c", "status": "no_answer", "to": "+14155550123", "from": "+442071838750",
        "timestamps": {"created": "2026-01-31T08:00:00Z", "ringing": null, "ended": "2026-01-31T08:01:30.5+01:00"},
        "cost": 1.50e-2, "currency": "EUR", "duration": 80, "tags": {"a": ["b"]}, "idempotency_key": 7, "new": {}} "#;

    fn usual(body: &str) -> Option<Call> {
        call(body.as_bytes(), Currency::USD)
    }

    fn worded(body: &str) -> Option<Call> {
        whole(body.as_bytes()).and_then(|wire| super::super::call(&wire, Currency::USD)).ok()
    }

    #[test]
    fn a_plain_reply_and_one_with_everything_are_read_here() {
        let plain = r#"{"call_id":"CALL_123","status":"queued","timestamps":{"created":"2023-07-20T08:00:00Z"},"cost":0.015}"#;
        for body in [plain, FULL] {
            assert!(usual(body).is_some_and(|call| Some(call) == worded(body)), "{body}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_other_reader() {
        for (from, to) in [
            ("no_answer", "on_hold"),
            ("no_answer", "no\\u005fanswer"),
            ("\"call_id\"", "\"call\\u005fid\""),
            (r#""to": "+14155550123""#, r#""to": null"#),
            ("\"from\"", "\"to\""),
            ("\"ringing\": null", "\"created\": null"),
            ("\"tags\"", "\"timestamps\""),
            ("\"new\"", "\"idempotency_key\""),
            ("1.50e-2", "\"0.015\""),
            ("{}}", "{}"),
            ("{}} ", "{}} x"),
        ] {
            let odd = FULL.replacen(from, to, 1);
            assert!(odd != FULL && usual(&odd).is_none(), "{from} as {to}");
        }
        let list = r#"["c","queued",null,{"created":"2023-07-20T08:00:00Z"},0.015,null,null,null]"#;
        let inner =
            r#"{"call_id":"c","status":"queued","timestamps":["2023-07-20T08:00:00Z",null],"cost":0.015}"#;
        assert_eq!((usual(list), usual(inner)), (None, None));
    }

    /// A value of a field: mostly good, sometimes odd.
    fn value(good: &'static [&'static str]) -> impl Strategy<Value = String> {
        const ODD: &[&str] = &[
            "null",
            "true",
            "0",
            "-0",
            "1e3",
            "4294967296",
            "\"\"",
            "\"a\\u0062\"",
            "\"\\ud800\"",
            "\"\t\"",
            "\"é\"",
            "[]",
            "[\"2026-01-31T08:00:00Z\", null]",
            "{}",
            "{\"created\":1}",
            "01",
            "\"0.015\"",
        ];
        prop_oneof![
            9 => prop::sample::select(good).prop_map(str::to_owned),
            1 => prop::sample::select(ODD).prop_map(str::to_owned),
        ]
    }

    /// Fields in any order, now and then one less or one twice.
    fn object(fields: &[(&'static str, &'static [&'static str])]) -> impl Strategy<Value = String> {
        let one = |&(name, good): &(&'static str, &'static [&'static str])| {
            let times = prop_oneof![20 => Just(1usize), 1 => Just(0), 1 => Just(2)];
            (times, value(good)).prop_map(move |(times, value)| vec![format!("\"{name}\": {value}"); times])
        };
        let fields: Vec<_> = fields.iter().map(one).collect();
        fields
            .prop_map(|fields| fields.concat())
            .prop_shuffle()
            .prop_map(|all| format!("{{{}}}", all.join(", ")))
    }

    const TIME: &[&str] =
        &["\"2026-01-31T08:00:00Z\"", "\"2026-01-31t08:00:00.25+01:00\"", "\"2026-01-31T08:00:60Z\""];

    fn body() -> impl Strategy<Value = String> {
        let times = object(&[("created", TIME), ("ended", TIME), ("ringing", TIME)]);
        let outer = object(&[
            ("call_id", &["\"call_1\"", "\"C-2\""]),
            ("status", &["\"queued\"", "\"no_answer\"", "\"held\""]),
            ("to", &["\"+14155550123\""]),
            ("timestamps", &["TIMES"]),
            ("cost", &["0.015", "1.5e-3", "-2", "0"]),
            ("currency", &["\"EUR\"", "\"USD\""]),
            ("duration", &["80", "0"]),
            ("idempotency_key", &["\"K\"", "null"]),
            ("new", &["[1, {\"a\": \"\\n\"}]", "null"]),
        ]);
        let odd = prop::option::weighted(0.2, (any::<prop::sample::Index>(), "[ ,:\"\\\\{}x0]"));
        (outer, times, odd).prop_map(|(outer, times, odd)| {
            let mut body = outer.replace("TIMES", &times);
            if let Some((at, other)) = odd {
                let at = at.index(body.len());
                if body.is_char_boundary(at) && body.is_char_boundary(at + 1) {
                    body.replace_range(at..=at, &other);
                }
            }
            body
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_read_here_is_what_the_other_reader_reads(body in body()) {
            if let Some(read) = usual(&body) {
                prop_assert_eq!(Some(read), worded(&body), "{}", body);
            }
        }

        #[test]
        fn a_reply_cut_off_is_not_read_here(end in 0..FULL.trim_end().len()) {
            prop_assert_eq!(usual(&FULL[..end]), None);
        }
    }
}

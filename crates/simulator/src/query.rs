//! The query of a listing: percent-decoded, each known parameter at most once.

use jiff::Timestamp;

use crate::draft::is_e164;
use crate::reply::Refusal;

/// The filters of `GET /v1/calls`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) idempotency_key: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) created_after: Option<Timestamp>,
    pub(crate) after: Option<String>,
    /// 1 to 100; `None` is 20.
    pub(crate) limit: Option<usize>,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decoded(name).as_deref() {
                Some("idempotency_key") => once("idempotency_key", &mut query.idempotency_key, value, key)?,
                Some("to") => once("to", &mut query.to, value, |v| is_e164(&v).then_some(v))?,
                Some("created_after") => {
                    once("created_after", &mut query.created_after, value, |v| v.parse().ok())?
                }
                Some("after") => once("after", &mut query.after, value, Some)?,
                Some("limit") => once("limit", &mut query.limit, value, limit)?,
                _ => {}
            }
        }
        Ok(query)
    }
}

fn once<T>(
    name: &'static str,
    slot: &mut Option<T>,
    value: &str,
    read: impl FnOnce(String) -> Option<T>,
) -> Result<(), Refusal> {
    if slot.is_some() {
        return Err(Refusal::invalid(name, "given twice"));
    }
    let read = decoded(value).and_then(read);
    *slot = Some(read.ok_or_else(|| Refusal::invalid(name, "not a valid value, or not percent-encoded"))?);
    Ok(())
}

fn key(value: String) -> Option<String> {
    is_key(value.as_bytes()).then_some(value)
}

/// True for 1 to 255 visible ASCII characters without a space.
pub(crate) fn is_key(value: &[u8]) -> bool {
    (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

fn limit(value: String) -> Option<usize> {
    value.parse().ok().filter(|limit| (1..=100).contains(limit))
}

/// Form rules: `+` is a space, which is why a number's own `+` travels as `%2B`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_read() {
        let query = Query::parse(
            "to=%2B14155550123&created_after=2026-01-31T08%3A00%3A00Z&after=call_1&limit=100&x=%zz&idempotency_key=a%26b",
        );
        let query = query.unwrap();
        assert_eq!(query.to.as_deref(), Some("+14155550123"));
        assert_eq!(query.created_after, Some("2026-01-31T08:00:00Z".parse().unwrap()));
        assert_eq!((query.after.as_deref(), query.limit), (Some("call_1"), Some(100)));
        assert_eq!(query.idempotency_key.as_deref(), Some("a&b"));
        assert_eq!(Query::parse("").unwrap(), Query::default());
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, expected) in [
            ("to=+14155550123", "to"),
            ("to=%2B1415", "to"),
            ("to=%2B14155550123&to=%2B14155550123", "to"),
            ("created_after=yesterday", "created_after"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=ten", "limit"),
            ("idempotency_key=", "idempotency_key"),
            ("idempotency_key=a%20b", "idempotency_key"),
            ("after=%f", "after"),
        ] {
            assert_eq!(Query::parse(text).unwrap_err().param, Some(expected), "{text}");
        }
    }
}

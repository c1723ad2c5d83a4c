//! The body of a create, checked field by field.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::reply::Refusal;

/// A create that the contract allows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) to: String,
    /// The text, or the address of the audio.
    pub(crate) said: String,
    pub(crate) from: Option<String>,
    /// Seconds, 5 to 600.
    pub(crate) ring_timeout: u32,
    /// Seconds, 1 to 86400.
    pub(crate) max_duration: u32,
    pub(crate) callback_url: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("to", &crate::book::masked(&self.to)).finish_non_exhaustive()
    }
}

impl Draft {
    /// Reads a body. The refusal names the first field that is wrong, in the order of the contract's table.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let fields: Object = serde_json::from_slice(body)
            .map_err(|_| Refusal::invalid("body", "not a JSON object in UTF-8"))?;
        let to = fields.text("to")?.ok_or_else(|| Refusal::invalid("to", "missing"))?;
        number("to", &to)?;
        let said = said(&fields)?;
        let from = fields.text("from")?;
        from.as_deref().map_or(Ok(()), |from| number("from", from))?;
        if let Some(policy) = fields.text("retry_policy")?
            && !matches!(policy.as_str(), "none" | "flexible")
        {
            return Err(Refusal::invalid("retry_policy", "not none or flexible"));
        }
        Ok(Self {
            to,
            said,
            from,
            ring_timeout: fields.seconds("ring_timeout", 5, 600, 30)?,
            max_duration: fields.seconds("max_duration", 1, 86_400, 14_400)?,
            callback_url: callback_url(&fields)?,
            tags: tags(&fields)?,
        })
    }
}

/// True for `+` and 7 to 15 digits, the first not 0.
pub(crate) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

fn number(param: &'static str, text: &str) -> Result<(), Refusal> {
    if is_e164(text) { Ok(()) } else { Err(Refusal::invalid(param, "not an E.164 number")) }
}

fn said(fields: &Object) -> Result<String, Refusal> {
    match (fields.text("tts")?, fields.text("audio_url")?) {
        (Some(text), None) => {
            if text.trim().is_empty() || text.chars().count() > 4096 {
                return Err(Refusal::invalid("tts", "blank or longer than 4096 characters"));
            }
            Ok(text)
        }
        (None, Some(address)) => {
            web_address("audio_url", &address)?;
            Ok(address)
        }
        _ => Err(Refusal::invalid("tts", "exactly one of tts and audio_url is needed")),
    }
}

fn callback_url(fields: &Object) -> Result<Option<String>, Refusal> {
    let Some(address) = fields.text("callback_url")? else { return Ok(None) };
    let uri = web_address("callback_url", &address)?;
    if uri.scheme_str() != Some("https") && !uri.host().is_some_and(is_loopback) {
        return Err(Refusal::invalid("callback_url", "https is required outside loopback"));
    }
    Ok(Some(address))
}

fn web_address(param: &'static str, text: &str) -> Result<http::Uri, Refusal> {
    let wrong = || Refusal::invalid(param, "not an absolute http(s) URL of at most 2048 characters");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let hosted = uri.host().is_some_and(|host| !host.is_empty());
    if web && hosted && text.chars().count() <= 2048 { Ok(uri) } else { Err(wrong()) }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tags(fields: &Object) -> Result<Vec<(String, String)>, Refusal> {
    let Some(raw) = fields.one("tags")? else { return Ok(Vec::new()) };
    let pairs: Object = read("tags", raw, "not an object")?;
    if pairs.0.len() > 16 {
        return Err(Refusal::invalid("tags", "more than 16 pairs"));
    }
    let mut tags = Vec::with_capacity(pairs.0.len());
    for (name, raw) in pairs.0 {
        let value: String = read("tags", &raw, "a value is not a string")?;
        if !(1..=64).contains(&name.chars().count()) || value.chars().count() > 256 {
            return Err(Refusal::invalid("tags", "names have 1 to 64 characters, values up to 256"));
        }
        if tags.iter().any(|(known, _)| *known == name) {
            return Err(Refusal::invalid("tags", "a name is given twice"));
        }
        tags.push((name, value));
    }
    Ok(tags)
}

fn read<T: DeserializeOwned>(param: &'static str, raw: &RawValue, problem: &str) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| Refusal::invalid(param, problem))
}

/// A JSON object with its members as they travelled, so that a doubled name is seen.
struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    fn one(&self, name: &'static str) -> Result<Option<&RawValue>, Refusal> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, raw)| &**raw);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Refusal::invalid(name, "given twice")),
            (first, None) => Ok(first),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        self.one(name)?.map(|raw| read(name, raw, "not a string")).transpose()
    }

    fn seconds(&self, name: &'static str, least: u32, most: u32, default: u32) -> Result<u32, Refusal> {
        let Some(raw) = self.one(name)? else { return Ok(default) };
        let value: u32 = read(name, raw, "not a whole number of seconds in its range")?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(Refusal::invalid(name, &format!("not between {least} and {most} seconds")))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn param(body: &str) -> Option<&'static str> {
        Draft::parse(body.as_bytes()).expect_err(body).param
    }

    #[test]
    fn a_small_body_gets_the_defaults() {
        let draft = Draft::parse(
            r#"{"to":"+8613800138000","tts":"您好","retry_policy":"flexible","x":{"y":[1]}}"#.as_bytes(),
        )
        .unwrap();
        assert_eq!((draft.to.as_str(), draft.said.as_str()), ("+8613800138000", "您好"));
        assert_eq!((draft.ring_timeout, draft.max_duration), (30, 14_400));
        assert_eq!((draft.from, draft.callback_url, draft.tags.len()), (None, None, 0));
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (rest, expected) in [
            (r#""tts":"a""#, "to"),
            (r#""to":null,"tts":"a""#, "to"),
            (r#""to":14155550123,"tts":"a""#, "to"),
            (r#""to":"+04155550123","tts":"a""#, "to"),
            (r#""to":"+14155550123","to":"+14155550123","tts":"a""#, "to"),
            (r#""to":"+14155550123""#, "tts"),
            (r#""to":"+14155550123","tts":" \n""#, "tts"),
            (r#""to":"+14155550123","tts":"\ud800""#, "tts"),
            (r#""to":"+14155550123","tts":"a","audio_url":"https://a.example/x""#, "tts"),
            (r#""to":"+14155550123","audio_url":"/x""#, "audio_url"),
            (r#""to":"+14155550123","audio_url":"ftp://a.example/x""#, "audio_url"),
            (r#""to":"+14155550123","tts":"a","from":"anonymous""#, "from"),
            (r#""to":"+14155550123","tts":"a","retry_policy":"often""#, "retry_policy"),
            (r#""to":"+14155550123","tts":"a","ring_timeout":4"#, "ring_timeout"),
            (r#""to":"+14155550123","tts":"a","ring_timeout":30.5"#, "ring_timeout"),
            (r#""to":"+14155550123","tts":"a","max_duration":-1"#, "max_duration"),
            (r#""to":"+14155550123","tts":"a","max_duration":"60""#, "max_duration"),
            (r#""to":"+14155550123","tts":"a","callback_url":"http://a.example/""#, "callback_url"),
            (r#""to":"+14155550123","tts":"a","tags":["a"]"#, "tags"),
            (r#""to":"+14155550123","tts":"a","tags":{"a":1}"#, "tags"),
            (r#""to":"+14155550123","tts":"a","tags":{"":"b"}"#, "tags"),
            (r#""to":"+14155550123","tts":"a","tags":{"a":"b","a":"c"}"#, "tags"),
        ] {
            assert_eq!(param(&format!("{{{rest}}}")), Some(expected), "{rest}");
        }
        for body in ["", "[]", "null", "{", "{} {}", "\u{feff}{}"] {
            assert_eq!(param(body), Some("body"), "{body}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_callbacks() {
        for host in ["localhost:1", "127.0.0.1", "[::1]:8080"] {
            let body = json!({"to": "+14155550123", "tts": "a", "callback_url": format!("http://{host}/events?x=1")});
            assert!(Draft::parse(body.to_string().as_bytes()).is_ok(), "{host}");
        }
    }

    #[test]
    fn lengths_count_characters() {
        let body = |text: &str| json!({"to": "+14155550123", "tts": text}).to_string();
        assert!(Draft::parse(body(&"好".repeat(4096)).as_bytes()).is_ok());
        assert_eq!(param(&body(&"好".repeat(4097))), Some("tts"));
    }

    #[test]
    fn debug_hides_number_and_text() {
        let shown = format!("{:?}", Draft::parse(br#"{"to":"+14155550123","tts":"secret"}"#).unwrap());
        assert_eq!(shown, r#"Draft { to: "..23", .. }"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Draft::parse(&body);
        }

        #[test]
        fn a_broken_body_is_a_400_that_names_a_field(cut in 0usize..120, flip in any::<u8>()) {
            let good = json!({"to": "+14155550123", "tts": "Your parcel is here", "ring_timeout": 20, "tags": {"a": "b"}}).to_string();
            let mut body = good.into_bytes();
            let at = cut % body.len();
            body[at] = flip;
            if let Err(refusal) = Draft::parse(&body) {
                prop_assert_eq!(refusal.status, 400);
                prop_assert!(refusal.param.is_some());
            }
        }

        #[test]
        fn what_the_contract_allows_comes_back(
            to in "\\+[1-9][0-9]{6,14}",
            tts in "[^ \\s][\\PC]{0,60}",
            ring in 5u32..=600,
            longest in 1u32..=86_400,
            tags in proptest::collection::btree_map("[\\PC]{1,20}", "[\\PC]{0,20}", 0..=16),
        ) {
            let body = json!({"to": to, "tts": tts, "ring_timeout": ring, "max_duration": longest, "tags": tags}).to_string();
            let draft = Draft::parse(body.as_bytes());
            let draft = draft.map_err(|refusal| TestCaseError::fail(refusal.message))?;
            prop_assert_eq!((draft.to, draft.said), (to, tts));
            prop_assert_eq!((draft.ring_timeout, draft.max_duration), (ring, longest));
            prop_assert_eq!(draft.tags, tags.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn only_e164_is_a_number(text in "\\PC{0,18}") {
            let digits = text.strip_prefix('+').unwrap_or("");
            let right = digits.len() >= 7 && digits.len() <= 15 && digits.chars().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
            prop_assert_eq!(is_e164(&text), right);
        }
    }
}

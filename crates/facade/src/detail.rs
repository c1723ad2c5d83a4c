//! What a claim says about its call: the neutral call as JSON, always the same bytes for the same call.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use trunkline_core_types::{E164, NewCall, Speech, Tags};

/// The numbers stand in clear: a reconcile lists calls by them. Keep journals private.
///
/// The order of the fields, that of their names, is part of every journal: the same call in other bytes would be another call.
pub(crate) fn detail(call: &NewCall) -> Bytes {
    let mut json = Vec::with_capacity(room(call));
    json.push(b'{');
    if let Some(callback) = &call.callback {
        text(&mut json, b"\"callback\":", &callback.expose());
    }
    if let Some(from) = &call.from {
        number_of(&mut json, b"\"from\":\"", from);
    }
    for (name, time) in [("max_duration", call.max_duration), ("ring_timeout", call.ring_timeout)] {
        if let Some(time) = time {
            json.extend_from_slice(format!("\"{name}\":{},", time.as_secs()).as_bytes());
        }
    }
    if let Speech::Text(say) = &call.speech {
        json.extend_from_slice(b"\"say\":");
        say.json_to(&mut json);
        json.push(b',');
    }
    if !call.tags.is_empty() {
        tags(&mut json, &call.tags);
    }
    number_of(&mut json, b"\"to\":\"", &call.to);
    if let Speech::Url(url) = &call.speech {
        text(&mut json, b"\"url\":", &url.expose());
    }
    json.extend_from_slice(b"\"v\":1}");
    json.into()
}

/// What the JSON of a plain call takes to the byte, since the journal keeps it for as long as the key; others grow it.
fn room(call: &NewCall) -> usize {
    let said = match &call.speech {
        Speech::Text(text) => text.as_str().len(),
        _ => 0,
    };
    r#"{"say":"","to":"","v":1}"#.len() + said + call.to.exposed_len()
}

fn text(json: &mut Vec<u8>, name: &[u8], text: &str) {
    json.extend_from_slice(name);
    write(json, text);
    json.push(b',');
}

/// Digits need no escape; `name` ends with the quote that begins the value.
fn number_of(json: &mut Vec<u8>, name: &[u8], number: &E164) {
    json.extend_from_slice(name);
    number.expose_to(json);
    json.extend_from_slice(b"\",");
}

fn tags(json: &mut Vec<u8>, tags: &Tags) {
    json.extend_from_slice(b"\"tags\":{");
    for (at, (name, value)) in tags.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write(json, name);
        json.push(b':');
        write(json, value);
    }
    json.extend_from_slice(b"},");
}

/// A string with its quotes and escapes.
fn write(json: &mut Vec<u8>, text: &str) {
    // Text into memory: there is nothing that could fail.
    if let Err(error) = serde_json::to_writer(json, text) {
        unreachable!("{error}");
    }
}

/// Who was to be rung; `None` for a detail of another version.
pub(crate) fn number(detail: &[u8]) -> Option<E164> {
    #[derive(Deserialize)]
    struct To<'a> {
        #[serde(borrow)]
        to: Cow<'a, str>,
    }
    serde_json::from_slice::<To<'_>>(detail).ok()?.to.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_call_is_the_same_bytes_in_every_version() {
        let call =
            NewCall::say("+14155550123", "a \"b\"\u{e9}").unwrap().from_number("+14155550199").unwrap();
        let call = call.ring_timeout(Duration::from_secs(20)).unwrap().max_duration(Duration::from_secs(60));
        let call = call.unwrap().tag("z", "1").unwrap().tag("a", "2").unwrap();
        let call = call.callback("https://example.com/events").unwrap();
        let want = r#"{"callback":"https://example.com/events","from":"+14155550199","max_duration":60,"ring_timeout":20,"say":"a \"b\"é","tags":{"a":"2","z":"1"},"to":"+14155550123","v":1}"#;
        assert_eq!(detail(&call), want);
        assert_eq!((number(&detail(&call)), number(b"{}"), number(b"x")), (Some(call.to), None, None));
        let played = NewCall::play("+14155550123", "https://example.com/a.mp3").unwrap();
        assert_eq!(detail(&played), r#"{"to":"+14155550123","url":"https://example.com/a.mp3","v":1}"#);
    }

    proptest! {
        #[test]
        fn it_is_the_json_of_a_sorted_map(
            say in "[^\\p{Cc}]{0,20}x",
            from in prop::option::of("\\+[1-9][0-9]{6,14}"),
            ring in prop::option::of(5u64..=600),
            tags in prop::collection::btree_map("[^\\p{Cc}]{1,8}", "[^\\p{Cc}]{0,8}", 0..4),
        ) {
            let mut call = NewCall::say("+14155550123", &say).unwrap();
            let mut want = serde_json::json!({ "say": say, "to": "+14155550123", "v": 1 });
            if let Some(from) = from {
                call = call.from_number(&from).unwrap();
                want["from"] = from.into();
            }
            if let Some(ring) = ring {
                call = call.ring_timeout(Duration::from_secs(ring)).unwrap();
                want["ring_timeout"] = ring.into();
            }
            for (name, value) in &tags {
                call = call.tag(name, value).unwrap();
                want["tags"][name] = value.as_str().into();
            }
            prop_assert_eq!(detail(&call), want.to_string());
        }
    }
}

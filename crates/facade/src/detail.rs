//! What a claim says about its call: the neutral call as JSON, always the same bytes for the same call.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use trunkline_core_types::{E164, NewCall, Speech, Tags};

/// The order of the fields is part of every journal: the same call in other bytes would be another call.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    say: Option<&'a str>,
    #[serde(skip_serializing_if = "Tags::is_empty", serialize_with = "tag_object")]
    tags: &'a Tags,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    v: u32,
}

fn tag_object<S: Serializer>(tags: &&Tags, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(tags.iter())
}

/// The numbers stand in clear: a reconcile lists calls by them. Keep journals private.
pub(crate) fn detail(call: &NewCall) -> Bytes {
    let (say, url) = match &call.speech {
        Speech::Text(text) => (Some(text.as_str()), None),
        Speech::Url(url) => (None, Some(url.expose())),
        _ => (None, None),
    };
    let (to, from) = (call.to.expose(), call.from.map(|from| from.expose()));
    let callback = call.callback.as_ref().map(|url| url.expose());
    let detail = Detail {
        callback: callback.as_deref(),
        from: from.as_deref(),
        max_duration: call.max_duration.map(|time| time.as_secs()),
        ring_timeout: call.ring_timeout.map(|time| time.as_secs()),
        say,
        tags: &call.tags,
        to: &to,
        url: url.as_deref(),
        v: 1,
    };
    // Kept for as long as the journal keeps the key, so little more than a plain call takes.
    let mut bytes = Vec::with_capacity(say.map_or(0, str::len) + 64);
    // Text, numbers and a map of text into memory: there is nothing that could fail.
    match serde_json::to_writer(&mut bytes, &detail) {
        Ok(()) => bytes.into(),
        Err(error) => unreachable!("{error}"),
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
}

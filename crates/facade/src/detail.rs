//! What a claim says about its call: the neutral call as JSON, always the same bytes for the same call.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use trunkline_core_types::{NewCall, Speech};

/// The numbers stand in clear: a reconcile lists calls by them. Keep journals private.
pub(crate) fn detail(call: &NewCall) -> Bytes {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("v", Some(json!(1)));
    put("to", Some(json!(call.to.expose())));
    match &call.speech {
        Speech::Text(text) => put("say", Some(json!(text.as_str()))),
        Speech::Url(url) => put("url", Some(json!(url.expose()))),
        _ => {}
    }
    put("from", call.from.map(|from| json!(from.expose())));
    put("ring_timeout", call.ring_timeout.map(|time| json!(time.as_secs())));
    put("max_duration", call.max_duration.map(|time| json!(time.as_secs())));
    put("callback", call.callback.as_ref().map(|url| json!(url.expose())));
    let tags: Map<_, _> = call.tags.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    put("tags", (!tags.is_empty()).then_some(Value::Object(tags)));
    Bytes::from(Value::Object(fields).to_string())
}

//! Neutral calls to requests: whole, deterministic, unsigned.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use trunkline_core_types::{
    CallId, E164, IdempotencyKey, InputError, NewCall, Origin, ProviderError, ProviderErrorKind, Speech,
    Tags, Timestamp,
};

/// The longest body of a create, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// The longest path prefix of a base URL, in bytes.
const MAX_PREFIX: usize = 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("trunkline/", env!("CARGO_PKG_VERSION")));

/// A base URL in parts that are cheap to clone into a request.
pub(super) struct Endpoint {
    origin: Box<str>,
    scheme: Scheme,
    authority: Authority,
    /// `[/prefix]/v1/calls`.
    calls: Box<str>,
    create: Uri,
}

impl Endpoint {
    pub(super) fn new(base_url: &str) -> Result<Self, InputError> {
        let bad = |problem: &'static str| InputError::new("base_url", problem);
        if base_url.contains(['?', '#']) {
            return Err(bad("must have no query and no fragment; end it with the host or a path prefix"));
        }
        let origin: Origin = base_url.parse()?;
        let unusable = |_| bad("not a URL; write scheme and host, such as https://voice.example.com");
        let given: Uri = base_url.parse().map_err(unusable)?;
        let prefix = given.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix("/v1").unwrap_or(prefix);
        if prefix.len() > MAX_PREFIX || !prefix.bytes().all(is_path_byte) {
            return Err(bad("the path prefix takes at most 1024 characters, percent-encoded"));
        }
        let calls = format!("{prefix}/v1/calls").into_boxed_str();
        let create: Uri = format!("{origin}{calls}").parse().map_err(unusable)?;
        let parts = create.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(bad("not absolute; begin with https:// and a host"));
        };
        Ok(Self { origin: origin.to_string().into(), scheme, authority, calls, create })
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// `calls` with something after it: a path segment or a query.
    fn at(&self, rest: &str) -> Result<Uri, ProviderError> {
        let unusable = |_| ProviderError::new(ProviderErrorKind::Input, "the request's URL is too long");
        let path = PathAndQuery::try_from(format!("{}{rest}", self.calls)).map_err(|_| unusable(()))?;
        let scheme = self.scheme.clone();
        let built = Uri::builder().scheme(scheme).authority(self.authority.clone()).path_and_query(path);
        built.build().map_err(|_| unusable(()))
    }
}

/// The characters of a path, RFC 3986, 3.3.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte)
}

pub(super) fn create(
    at: &Endpoint,
    call: &NewCall,
    key: &IdempotencyKey,
) -> Result<Request<Bytes>, ProviderError> {
    // The key behind the body in one buffer, which all copies of the request share.
    let mut body = body(call, key.as_str().len())?;
    let end = body.len();
    body.extend_from_slice(key.as_str().as_bytes());
    let mut body = Bytes::from(body);
    let unusable = |_| InputError::new("idempotency_key", "cannot travel in a header");
    let mut key = HeaderValue::from_maybe_shared(body.split_off(end)).map_err(unusable)?;
    let mut request = request(Method::POST, at.create.clone(), body);
    // Callers put anything into their keys; a sensitive value prints as a word.
    key.set_sensitive(true);
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.headers_mut().insert(IDEMPOTENCY_KEY, key);
    Ok(request)
}

pub(super) fn get(at: &Endpoint, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
    Ok(request(Method::GET, at.at(&format!("/{id}"))?, Bytes::new()))
}

pub(super) fn hang_up(at: &Endpoint, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
    Ok(request(Method::DELETE, at.at(&format!("/{id}"))?, Bytes::new()))
}

pub(super) fn lookup_key(at: &Endpoint, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
    let query = format!("?idempotency_key={}", percent_encoded(key.as_str()));
    Ok(request(Method::GET, at.at(&query)?, Bytes::new()))
}

/// A page of the longest length, the first one or the one after a call.
pub(super) fn lookup_to(
    at: &Endpoint,
    number: E164,
    created_after: Timestamp,
    after: Option<&CallId>,
) -> Result<Request<Bytes>, ProviderError> {
    let (to, since) = (percent_encoded(&number.expose()), percent_encoded(&created_after.to_string()));
    let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
    let query = format!("?to={to}&created_after={since}{after}&limit=100");
    Ok(request(Method::GET, at.at(&query)?, Bytes::new()))
}

fn request(method: Method, uri: Uri, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    // With room for what signers and the transport add, or the map grows on every call.
    *request.headers_mut() = HeaderMap::with_capacity(8);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.headers_mut().insert(ACCEPT, JSON);
    request.headers_mut().insert(USER_AGENT, AGENT);
    request
}

/// A query value: all but the unreserved characters of RFC 3986, 2.3, as `%` and two capital hex digits.
fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            encoded.push('%');
            encoded.extend(digits.map(char::from));
        }
    }
    encoded
}

/// The body of a create. The order of the fields is part of the contract with ourselves: same call, same bytes.
/// With room for so much behind it.
fn body(call: &NewCall, behind: usize) -> Result<Vec<u8>, ProviderError> {
    let mut json = Vec::with_capacity(room(call) + behind);
    json.extend_from_slice(b"{\"to\":\"");
    call.to.expose_to(&mut json);
    match &call.speech {
        Speech::Text(say) => {
            json.extend_from_slice(b"\",\"tts\":");
            say.json_to(&mut json);
        }
        Speech::Url(url) => text(&mut json, b"\",\"audio_url\":", &url.expose())?,
        _ => return Err(ProviderError::unsupported("this kind of speech")),
    }
    if let Some(from) = &call.from {
        json.extend_from_slice(b",\"from\":\"");
        from.expose_to(&mut json);
        json.push(b'"');
    }
    json.extend_from_slice(b",\"retry_policy\":\"flexible\"");
    seconds(&mut json, "ring_timeout", whole_seconds("ring_timeout", call.ring_timeout, 5, 600)?);
    seconds(&mut json, "max_duration", whole_seconds("max_duration", call.max_duration, 1, 86_400)?);
    if let Some(url) = &call.callback {
        text(&mut json, b",\"callback_url\":", &url.expose())?;
    }
    if !call.tags.is_empty() {
        tags(&mut json, &call.tags)?;
    }
    json.push(b'}');
    bounded(json)
}

/// What the body of a plain call takes to the byte; others grow it.
fn room(call: &NewCall) -> usize {
    let said = match &call.speech {
        Speech::Text(text) => text.as_str().len(),
        _ => 0,
    };
    r#"{"to":"","tts":"","retry_policy":"flexible"}"#.len() + said + call.to.exposed_len()
}

fn text(json: &mut Vec<u8>, name: &[u8], text: &str) -> Result<(), ProviderError> {
    json.extend_from_slice(name);
    write(json, text)
}

fn seconds(json: &mut Vec<u8>, name: &str, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        json.extend_from_slice(format!(",\"{name}\":{seconds}").as_bytes());
    }
}

fn tags(json: &mut Vec<u8>, tags: &Tags) -> Result<(), ProviderError> {
    for (at, (name, value)) in tags.iter().enumerate() {
        text(json, if at == 0 { b",\"tags\":{" } else { b"," }, name)?;
        text(json, b":", value)?;
    }
    json.push(b'}');
    Ok(())
}

/// A string with its quotes and escapes.
fn write(json: &mut Vec<u8>, text: &str) -> Result<(), ProviderError> {
    serde_json::to_writer(json, text)
        .map_err(|_| ProviderError::new(ProviderErrorKind::Input, "the call cannot be written as JSON"))
}

fn bounded(body: Vec<u8>) -> Result<Vec<u8>, ProviderError> {
    if body.len() > MAX_BODY {
        let problem = format!("{} bytes; at most {MAX_BODY}: shorten the text or the tags", body.len());
        return Err(InputError::new("body", problem).into());
    }
    Ok(body)
}

/// The fields of a call are public, so what its setters check is checked once more.
fn whole_seconds(
    field: &'static str,
    time: Option<Duration>,
    min: u64,
    max: u64,
) -> Result<Option<u64>, InputError> {
    match time {
        Some(time) if time.subsec_nanos() != 0 || !(min..=max).contains(&time.as_secs()) => {
            Err(InputError::new(field, format!("must be {min} to {max} whole seconds; got {time:?}")))
        }
        time => Ok(time.map(|time| time.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_above_64_kib_is_bad_input() {
        assert_eq!(bounded(vec![b' '; MAX_BODY]).unwrap().len(), MAX_BODY);
        let error = bounded(vec![b' '; MAX_BODY + 1]).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ProviderErrorKind::Input, Some("body")));
    }
}

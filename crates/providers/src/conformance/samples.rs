//! The calls, keys and replies that the rules are tried on, with canaries that nothing may print.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use trunkline_core_types::{
    CallId, Class, Entropy, EntropyExt, IdempotencyKey, InputError, Lookup, NewCall, Operation, Provider,
    ProviderError, SeededEntropy, Verdict, class_of_reply,
};

use super::Violation;

const NUMBER: &str = "+14155550123";
const TEXT: &str = "canary \"8421\"\n请稍候 🎻";
pub(super) const KEY: &str = "canary-key-14155550123";
const SECRETS: [&str; 4] = ["4155550123", "2071838750", "canary", "8421"];

pub(super) fn calls() -> Result<[NewCall; 3], InputError> {
    let full = NewCall::say(NUMBER, TEXT)?
        .from_number("+442071838750")?
        .ring_timeout(Duration::from_secs(20))?
        .max_duration(Duration::from_secs(600))?
        .callback("https://example.com/events?token=canary")?
        .tag("who", "canary")?
        .tag("what", "canary too")?;
    Ok([NewCall::say(NUMBER, TEXT)?, NewCall::play(NUMBER, "https://example.com/hello?token=canary")?, full])
}

/// The creates of those samples that the provider can place.
pub(super) fn creates(
    provider: &dyn Provider,
    key: &str,
    rule: &'static str,
) -> Result<Vec<Request<Bytes>>, Violation> {
    let key: IdempotencyKey = key.parse()?;
    let made: Vec<_> = calls()?.iter().filter_map(|call| provider.create(call, &key).ok()).collect();
    if made.is_empty() {
        return Err(Violation::new(rule, "no sample call can be placed"));
    }
    Ok(made)
}

type Made = (&'static str, Result<Request<Bytes>, ProviderError>);

pub(super) fn others(provider: &dyn Provider) -> Result<[Made; 3], InputError> {
    let (id, key): (CallId, IdempotencyKey) = ("call_5f2c".parse()?, "a&b=c+d/e?f#g%h@i".parse()?);
    Ok([
        ("get", provider.get(&id)),
        ("hang_up", provider.hang_up(&id)),
        ("lookup", provider.lookup(Lookup::Key(&key))),
    ])
}

/// Replies of many shapes: empty, cut off, of the wrong types, refusals, calls and pages.
pub(super) fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        "null",
        "<html>busy</html>",
        "[[[[[[",
        r#""canary"#,
        r#"{"call_id": "canary 8421", "status": ["canary"], "sid": 8421, "message_uuid": {"canary": 1}}"#,
        r#"{"call_id": "call_1", "status": "queued", "to": "14155550123 canary", "cost": "canary"}"#,
        r#"{"call_id": "c", "status": "q", "timestamps": {"created": "canary"}, "cost": 1e999999999}"#,
        r#"{"call_id": "c", "status": "q", "timestamps": {"created": "2026-01-31T08:00:00Z"}, "cost": 1e-999999999}"#,
        r#"{"data": [{"call_id": "canary"}, 14155550123], "has_more": "canary"}"#,
        r#"{"data": [], "has_more": false, "last_id": null}"#,
        r#"{"code": 8421, "status": 400}"#,
    ]
    .map(|body| body.as_bytes().to_vec())
    .into();
    for kind in [
        "invalid_request",
        "authentication",
        "rate_limit",
        "idempotency_conflict",
        "idempotency_in_progress",
        "idempotency_state_unknown",
        "api",
        "timeout",
    ] {
        let error = format!(
            r#"{{"type": "error", "error": {{"type": "{kind}", "message": "no way to {NUMBER}", "param": "to"}}}}"#
        );
        bodies.push(error.into());
    }
    bodies
}

/// Random bytes, or a sample body with one byte changed.
pub(super) fn noise(random: &SeededEntropy) -> Vec<u8> {
    if random.below(2) == 0 {
        return (0..random.below(64)).map(|_| random.next().to_le_bytes()[0]).collect();
    }
    let mut bodies = bodies();
    let mut body = bodies.swap_remove(random.below(bodies.len() as u64) as usize);
    let at = random.below(body.len() as u64) as usize;
    if let Some(byte) = body.get_mut(at) {
        *byte = random.next().to_le_bytes()[0];
    }
    body
}

pub(super) fn judged(
    provider: &dyn Provider,
    operation: Operation,
    code: u16,
    body: &[u8],
) -> Result<(StatusCode, Verdict), Violation> {
    let status = StatusCode::from_u16(code).map_err(|_| Violation::new("samples", "not a status"))?;
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Ok((status, provider.judge(operation, status, &headers, body)))
}

pub(super) fn class_of((status, verdict): (StatusCode, Verdict)) -> Class {
    class_of_reply(status, verdict).0
}

/// Nothing that was shown holds a canary.
pub(super) fn quiet(rule: &'static str, who: &str, shown: &str) -> Result<(), Violation> {
    // Which one it is would print it again.
    match SECRETS.iter().any(|secret| shown.contains(secret)) {
        true => Err(Violation::new(rule, format!("{who} prints a number, text or key of the samples"))),
        false => Ok(()),
    }
}

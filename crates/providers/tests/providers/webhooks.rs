//! Callbacks: signature first, then the body, then its age; both secrets of a rotation; no value in any error.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use trunkline_core_types::{
    CallEvent, CallStatus, Key, KeySet, MacKey, Provider, Reply, Timestamp, WebhookError, WebhookErrorKind,
};

use crate::voice;

/// The contract's own example.
const RINGING: &str = r#"{"event_id": "evt_91", "created": "2026-01-31T08:00:04Z", "type": "call.ringing",
 "call": {"call_id": "call_5f2c", "status": "ringing", "timestamps": {"created": "2026-01-31T08:00:00Z", "ringing": "2026-01-31T08:00:04Z"}, "cost": 0.015, "idempotency_key": "K"}}"#;

fn now() -> SystemTime {
    "2026-01-31T08:00:05Z".parse::<Timestamp>().unwrap().into()
}

fn keys(previous: Option<&str>) -> KeySet {
    let key = |secret: &str| Key::new(secret.into(), secret).unwrap();
    KeySet { current: key("canary-secret"), previous: previous.map(key) }
}

fn signed(body: &str, secret: &str) -> Request<Bytes> {
    let mut request =
        Request::post("/events?trunkline_key=other").body(Bytes::copy_from_slice(body.as_bytes()));
    let value = HeaderValue::from_str(&MacKey::new(secret.as_bytes()).x_signature(body.as_bytes())).unwrap();
    request.as_mut().unwrap().headers_mut().insert("x-signature", value);
    request.unwrap()
}

fn read(body: &str) -> Result<CallEvent, WebhookError> {
    voice().webhook(&signed(body, "canary-secret"), &keys(None), now())
}

fn refused(request: &Request<Bytes>, keys: &KeySet) -> WebhookErrorKind {
    let error = voice().webhook(request, keys, now()).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!["canary", "5f2c", "evt_91"].iter().any(|value| shown.contains(value)), "{shown}");
    error.kind()
}

#[test]
fn the_contract_s_example_is_read() {
    let event = read(RINGING).unwrap();
    assert_eq!((event.id.as_str(), event.created.to_string().as_str()), ("evt_91", "2026-01-31T08:00:04Z"));
    assert_eq!((event.call.id.as_str(), &event.call.status), ("call_5f2c", &CallStatus::Ringing));
    assert_eq!(event.key.unwrap().as_str(), "K", "the signed one, not the one in the URL");
    assert_eq!(event.call.cost.unwrap().to_string(), "0.015 USD");
    let kept = Reply::new(http::Response::new(event.body));
    assert_eq!(voice().read_call(&kept).unwrap(), event.call, "what a journal keeps is read like a reply");
}

#[test]
fn both_secrets_of_a_rotation_verify_and_others_do_not() {
    assert!(voice().webhook(&signed(RINGING, "old"), &keys(Some("old")), now()).is_ok());
    assert!(voice().webhook(&signed(RINGING, "canary-secret"), &keys(Some("old")), now()).is_ok());
    assert_eq!(refused(&signed(RINGING, "old"), &keys(None)), WebhookErrorKind::Signature);
    assert_eq!(refused(&signed(RINGING, "older"), &keys(Some("old"))), WebhookErrorKind::Signature);
}

#[test]
fn exactly_one_right_header_is_needed() {
    let good = signed(RINGING, "canary-secret");
    let right = good.headers()["x-signature"].clone();
    let with = |values: &[HeaderValue]| {
        let mut request = good.clone();
        request.headers_mut().remove("x-signature");
        values.iter().for_each(|value| {
            request.headers_mut().append("x-signature", value.clone());
        });
        request
    };
    let upper = HeaderValue::from_str(&right.to_str().unwrap().to_uppercase()).unwrap();
    for values in [&[][..], &[right.clone(), right.clone()], &[upper], &[HeaderValue::from_static("")]] {
        assert_eq!(refused(&with(values), &keys(None)), WebhookErrorKind::Signature, "{values:?}");
    }
    let mut longer = good.clone();
    *longer.body_mut() = format!("{RINGING} ").into();
    assert_eq!(refused(&longer, &keys(None)), WebhookErrorKind::Signature, "the bytes as they came");
}

#[test]
fn nothing_unsigned_is_read_and_nothing_unreadable_is_aged() {
    let old = RINGING.replace("2026-01-31T08:00:04Z\", \"type", "2020-01-31T08:00:04Z\", \"type");
    assert_eq!(refused(&signed("canary", "another"), &keys(None)), WebhookErrorKind::Signature);
    assert_eq!(refused(&signed(&old, "another"), &keys(None)), WebhookErrorKind::Signature);
    assert_eq!(refused(&signed(&old, "canary-secret"), &keys(None)), WebhookErrorKind::Stale);
    let neither = old.replace("call.ringing", "canary");
    assert_eq!(refused(&signed(&neither, "canary-secret"), &keys(None)), WebhookErrorKind::Unreadable);
}

#[test]
fn an_event_is_taken_for_a_day_and_five_minutes_ahead() {
    let created: SystemTime = read(RINGING).unwrap().created.into();
    let at = |now| voice().webhook(&signed(RINGING, "canary-secret"), &keys(None), now).map(drop);
    let (day, ahead) = (Duration::from_secs(24 * 3600), Duration::from_secs(300));
    let tick = Duration::from_nanos(1);
    assert!(at(created + day).is_ok() && at(created - ahead).is_ok());
    for late in [created + day + tick, created - ahead - tick] {
        assert_eq!(at(late).unwrap_err().kind(), WebhookErrorKind::Stale);
    }
}

#[test]
fn fields_that_break_the_contract_are_named() {
    for (from, to, field) in [
        (r#""event_id": "evt_91", "#, "", "event_id"),
        ("evt_91", "", "event_id"),
        ("evt_91", "canary canary", "event_id"),
        (r#""created": "2026-01-31T08:00:04Z""#, r#""created": "canary""#, "created"),
        ("call.ringing", "call.answered", "type"),
        ("call.ringing", "ringing", "type"),
        (r#""call_id": "call_5f2c""#, r#""call_id": "canary 5f2c""#, "call.call_id"),
        (r#""cost": 0.015, "#, "", "call.cost"),
        (r#""idempotency_key": "K""#, r#""idempotency_key": "canary canary""#, "call.idempotency_key"),
        (r#""idempotency_key": "K""#, r#""idempotency_key": 7"#, "call.idempotency_key"),
    ] {
        let body = RINGING.replacen(from, to, 1);
        let error = read(&body).unwrap_err();
        assert_eq!(error.kind(), WebhookErrorKind::Unreadable, "{body}");
        assert!(error.to_string().contains(&format!("{field}: ")), "{error}");
        refused(&signed(&body, "canary-secret"), &keys(None));
    }
    let long = format!("{RINGING}{}", " ".repeat(64 * 1024));
    assert!(read(&long).unwrap_err().to_string().contains("body: "));
}

#[test]
fn a_status_that_we_do_not_know_is_kept() {
    let event = read(
        &RINGING
            .replace("\"ringing\", \"timestamps", "\"on_hold\", \"timestamps")
            .replace("call.ringing", "call.on_hold"),
    );
    assert_eq!(event.unwrap().call.status, CallStatus::Unknown("on_hold".into()));
}

proptest! {
    #[test]
    fn no_signed_bytes_panic_or_are_repeated(mut body in "\\PC{0,80}") {
        body.push_str("canary");
        prop_assert_eq!(refused(&signed(&body, "canary-secret"), &keys(None)), WebhookErrorKind::Unreadable);
    }

    #[test]
    fn an_event_cut_anywhere_is_unreadable(end in 0..RINGING.len()) {
        prop_assert_eq!(read(&RINGING[..end]).unwrap_err().kind(), WebhookErrorKind::Unreadable);
    }
}

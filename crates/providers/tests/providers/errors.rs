//! The contract's table of errors, row by row: what is read, and what class a create has.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use trunkline_core_types::{
    Class, Judge, Operation, Provider, ProviderErrorKind as Kind, Scope, class_of_reply,
};

use crate::{reply, voice};

const CALL: Class = Class::Rejected(Scope::Call);
const ACCOUNT: Class = Class::Rejected(Scope::Account);

/// Status, `error.type`, kind of the error, class of a create with that body, class with a body that cannot be read.
const TABLE: [(u16, &str, Kind, Class, Class); 19] = [
    (400, "invalid_request", Kind::InvalidRequest, CALL, CALL),
    (413, "invalid_request", Kind::InvalidRequest, CALL, CALL),
    (422, "invalid_request", Kind::InvalidRequest, CALL, CALL),
    (401, "authentication", Kind::Authentication, ACCOUNT, ACCOUNT),
    (402, "billing", Kind::Billing, ACCOUNT, ACCOUNT),
    (403, "permission", Kind::Permission, ACCOUNT, ACCOUNT),
    (404, "not_found", Kind::NotFound, CALL, CALL),
    (409, "idempotency_conflict", Kind::Idempotency, CALL, Class::Ambiguous),
    (409, "idempotency_in_progress", Kind::Idempotency, Class::Ambiguous, Class::Ambiguous),
    (409, "idempotency_state_unknown", Kind::Idempotency, Class::Ambiguous, Class::Ambiguous),
    (409, "something_new", Kind::Other, Class::Ambiguous, Class::Ambiguous),
    (408, "timeout", Kind::Timeout, Class::Ambiguous, Class::Ambiguous),
    (504, "timeout", Kind::Timeout, Class::Ambiguous, Class::Ambiguous),
    (429, "rate_limit", Kind::RateLimit, Class::Deferred, Class::Deferred),
    (500, "api", Kind::Api, Class::Ambiguous, Class::Ambiguous),
    (502, "api", Kind::Api, Class::Ambiguous, Class::Ambiguous),
    (503, "api", Kind::Api, Class::Ambiguous, Class::Ambiguous),
    (529, "overloaded", Kind::Overloaded, Class::Ambiguous, Class::Ambiguous),
    (418, "something_new", Kind::Other, CALL, CALL),
];

fn refusal(kind: &str) -> String {
    format!(
        r#"{{"type": "error", "error": {{"type": "{kind}", "message": "from: nobody's", "param": "from"}}}}"#
    )
}

fn judged(code: u16, body: &[u8]) -> (Class, Option<Duration>) {
    let (status, mut headers) = (StatusCode::from_u16(code).unwrap(), HeaderMap::new());
    headers.insert("retry-after", "3".parse().unwrap());
    class_of_reply(status, voice().judge(Operation::Create, status, &headers, body))
}

#[test]
fn every_row_has_its_class() {
    for (code, kind, _, readable, unreadable) in TABLE {
        let body = refusal(kind);
        let list = format!(r#"{{"error": ["{kind}", "to", "to"]}}"#);
        assert_eq!(judged(code, body.as_bytes()).0, readable, "{code} {kind}");
        for cut in ["", "{", "<html>", &list, &body[..body.len() - 1], &format!("{body}{body}")] {
            assert_eq!(judged(code, cut.as_bytes()).0, unreadable, "{code} {kind}: {cut}");
        }
    }
}

#[test]
fn only_a_deferral_carries_the_wait() {
    for (code, kind, ..) in TABLE {
        let want = (code == 429).then_some(Duration::from_secs(3));
        assert_eq!(judged(code, refusal(kind).as_bytes()).1, want, "{code}");
    }
}

#[test]
fn a_forbidden_number_is_the_call_s_and_not_the_account_s() {
    let body = refusal("permission");
    assert_eq!(judged(403, body.as_bytes()).0, ACCOUNT);
    assert_eq!(judged(403, body.replace(r#""param": "from""#, r#""param": "to""#).as_bytes()).0, CALL);
}

#[test]
fn every_row_is_read() {
    for (code, kind, want, ..) in TABLE {
        let error = voice().read_error(&reply(code, refusal(kind)));
        assert_eq!(
            (error.kind(), error.code(), error.field()),
            (want, Some(kind), Some("from")),
            "{code} {kind}"
        );
        assert_eq!(error.to_string(), format!("status {code}: from: nobody's ({kind}) [request req_9]"));
    }
}

#[test]
fn a_body_of_somebody_else_is_named_by_its_status() {
    for (code, kind, want, ..) in TABLE {
        let error = voice().read_error(&reply(code, "<html>canary</html>"));
        let want = if kind == "something_new" && code == 409 { Kind::Idempotency } else { want };
        assert_eq!((error.kind(), error.code()), (want, None), "{code}");
        let text =
            format!("status {code}, and the body (19 bytes) is not an error of this API [request req_9]");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_message_stays_on_one_line_is_bounded_and_masks_numbers() {
    let long = format!(
        r#"{{"error": {{"type": "api", "message": "a\nb\u001b[1m +14155550123 {}"}}}}"#,
        "x".repeat(2000)
    );
    let shown = voice().read_error(&reply(500, long)).to_string();
    assert!(shown.starts_with("status 500: a b [1m +*********23 xxx"), "{shown}");
    assert!(shown.len() < 600, "{}", shown.len());
}

#[test]
fn a_param_that_the_message_does_not_name_is_added() {
    let body = r#"{"error": {"type": "invalid_request", "message": "too long", "param": "tts"}}"#;
    let error = voice().read_error(&reply(400, body));
    assert_eq!(error.to_string(), "status 400: tts: too long (invalid_request) [request req_9]");
}

proptest! {
    #[test]
    fn nothing_makes_a_409_less_open_than_the_whole_conflict(body: Vec<u8>) {
        prop_assert_eq!(judged(409, &body).0, Class::Ambiguous);
    }

    #[test]
    fn the_body_never_changes_an_open_status(body: Vec<u8>, code in 500u16..600) {
        prop_assert_eq!(judged(code, &body).0, Class::Ambiguous);
    }
}

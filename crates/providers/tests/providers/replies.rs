//! Replies to calls: what is read, what is refused, and that no error repeats a value.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_core_types::{
    Call, CallStatus, Currency, Lookup, Money, Provider, ProviderError, ProviderErrorKind, Reply,
};

use crate::{reply, voice};

/// The reply of the article that the contract began from.
const ARTICLE: &str = r#"{"call_id": "CALL_123", "status": "queued", "timestamps": {"created": "2023-07-20T08:00:00Z"}, "cost": 0.015}"#;

const ENDED: &str = r#"{"call_id": "call_5f2c", "status": "completed", "to": "+14155550123", "from": "+442071838750",
    "timestamps": {"created": "2026-01-31T08:00:00Z", "ringing": "2026-01-31T08:00:04Z", "ended": "2026-01-31T08:01:30Z"},
    "cost": 1.50e-2, "currency": "EUR", "duration": 80, "tags": {"a": "b"}, "idempotency_key": "K", "new": [{"x": 1}]}"#;

/// A look-up by the key that [`ENDED`] carries.
fn looked_up(reply: &Reply) -> Result<Vec<Call>, ProviderError> {
    voice().read_lookup(Lookup::Key(&"K".parse().unwrap()), reply)
}

fn page(rows: &[&str]) -> String {
    format!(r#"{{"data": [{}], "has_more": false, "last_id": null}}"#, rows.join(", "))
}

#[test]
fn the_article_s_reply_is_read_to_the_cent() {
    let call = voice().read_call(&reply(201, ARTICLE)).unwrap();
    assert_eq!((call.id.as_str(), &call.status), ("CALL_123", &CallStatus::Queued));
    assert_eq!(call.created.unwrap().to_string(), "2023-07-20T08:00:00Z");
    assert_eq!(call.cost, Some(Money::parse("0.015", Currency::USD).unwrap()));
    assert_eq!((call.to, call.ended, call.duration), (None, None, None));
}

#[test]
fn an_ended_call_is_read_whole() {
    let call = voice().read_call(&reply(200, ENDED)).unwrap();
    assert_eq!(call.to.unwrap().expose(), "+14155550123");
    assert_eq!(call.ended.unwrap().to_string(), "2026-01-31T08:01:30Z");
    assert_eq!(call.duration, Some(Duration::from_secs(80)));
    assert_eq!(call.cost.unwrap().to_string(), "0.0150 EUR");
}

#[test]
fn the_account_s_currency_holds_where_the_reply_names_none() {
    let voice = voice().currency("CNY".parse().unwrap());
    assert_eq!(voice.read_call(&reply(201, ARTICLE)).unwrap().cost.unwrap().to_string(), "0.015 CNY");
    assert_eq!(voice.read_call(&reply(201, ENDED)).unwrap().cost.unwrap().to_string(), "0.0150 EUR");
}

#[test]
fn an_unknown_status_is_kept_as_it_came() {
    let call = voice().read_call(&reply(200, ARTICLE.replace("queued", "on_Hold"))).unwrap();
    assert_eq!(call.status, CallStatus::Unknown("on_Hold".to_owned()));
}

#[test]
fn fields_that_break_the_contract_are_named() {
    for (from, to, field) in [
        (r#""call_id": "CALL_123", "#, "", "call_id"),
        (r#""CALL_123""#, "null", "call_id"),
        (r#""CALL_123""#, r#""canary canary""#, "call_id"),
        (r#""queued""#, "7", "status"),
        (r#""queued""#, r#""""#, "status"),
        (r#""queued""#, r#""canary4155550123""#, "status"),
        (r#"{"created": "2023-07-20T08:00:00Z"}"#, r#""canary""#, "timestamps"),
        (r#""created""#, r#""canary""#, "timestamps.created"),
        ("2023-07-20T08", "canary", "timestamps.created"),
        (r#"00Z""#, r#"00Z", "ended": "canary""#, "timestamps.ended"),
        ("0.015", r#""canary""#, "cost"),
        ("0.015", r#""0.015""#, "cost"),
        ("0.015", "0.12345678901234567890123456789012", "cost"),
        ("0.015", "1e999999999", "cost"),
        ("0.015", r#"0.015, "currency": "canary""#, "currency"),
        ("0.015", r#"0.015, "duration": 1.5"#, "duration"),
        ("0.015", r#"0.015, "duration": -1"#, "duration"),
        ("0.015", r#"0.015, "to": "4155550123""#, "to"),
        ("0.015", r#"0.015, "cost": 0.016"#, "body"),
        ("0.015}", "0.015", "body"),
        (r#""queued""#, r#""\ud800""#, "status"),
    ] {
        let body = ARTICLE.replace(from, to);
        assert_ne!(body, ARTICLE, "{from}");
        let error = voice().read_call(&reply(201, &body)).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ProviderErrorKind::Unreadable, Some(field)), "{body}");
        assert_eq!(error.request_id(), Some("req_9"));
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(field) && !shown.contains("canary") && !shown.contains("4155550123"),
            "{shown}"
        );
    }
}

#[test]
fn a_body_above_its_bound_or_of_a_refusal_is_not_read() {
    let padded = format!("{ARTICLE}{}", " ".repeat(1024 * 1024));
    assert_eq!(voice().read_call(&reply(200, padded)).unwrap_err().field(), Some("body"));
    assert_eq!(voice().read_call(&reply(409, ARTICLE)).unwrap_err().field(), Some("http_status"));
    // A refusal that looks like an empty page would prove that nothing was placed.
    assert_eq!(looked_up(&reply(404, page(&[]))).unwrap_err().field(), Some("http_status"));
}

#[test]
fn an_unreadable_body_is_told_by_its_shape_and_length() {
    for (body, told) in [
        (&ARTICLE[..40], "cut off, 40 bytes"),
        ("<html></html>", "not JSON, 13 bytes"),
        ("7", "JSON, but not an object that has each field once, 1 bytes"),
    ] {
        let error = voice().read_call(&reply(201, body)).unwrap_err();
        assert_eq!(error.to_string(), format!("reply 201: body: {told} [request req_9]"));
    }
}

#[test]
fn pages_of_none_and_one_are_read() {
    assert_eq!(looked_up(&reply(200, page(&[]))).unwrap(), []);
    let calls = looked_up(&reply(200, page(&[ENDED]))).unwrap();
    assert_eq!(calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["call_5f2c"]);
}

#[test]
fn a_page_that_proves_nothing_is_not_read() {
    let other = ENDED.replace(r#""K""#, r#""L""#);
    let no_key = ENDED.replace(r#""idempotency_key""#, r#""another""#);
    let many = vec!["{}"; 101];
    for (body, field) in [
        (page(&[]).replace("false", "true"), "has_more"),
        (r#"{"data": []}"#.to_owned(), "has_more"),
        (r#"{"has_more": false}"#.to_owned(), "data"),
        (r#"{"data": null, "has_more": false}"#.to_owned(), "data"),
        (r#"{"data": {}, "has_more": false}"#.to_owned(), "data"),
        ("[]".to_owned(), "body"),
        (page(&[&other]), "data[0].idempotency_key"),
        (page(&[ENDED, &other]), "data[1].idempotency_key"),
        (page(&[&no_key]), "data[0].idempotency_key"),
        (r#"[[], false]"#.to_owned(), "body"),
        (page(&[r#"["call_1", "queued"]"#]), "data[0]"),
        (page(&many), "data"),
        (page(&["7"]), "data[0]"),
        (page(&[ENDED, "{}"]), "data[1].call_id"),
        (page(&[&ENDED.replace("2026-01-31T08:00:00Z", "canary")]), "data[0].timestamps.created"),
    ] {
        let error = looked_up(&reply(200, &body)).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ProviderErrorKind::Unreadable, Some(field)), "{body}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn a_listing_by_number_and_time_is_of_that_number_and_time_and_whole() {
    let asked = Lookup::To {
        number: "+14155550123".parse().unwrap(),
        created_after: "2026-01-31T08:00:00Z".parse().unwrap(),
    };
    let listed = |body: &str| voice().read_lookup(asked, &reply(200, body));
    assert_eq!(listed(&page(&[])).unwrap(), []);
    assert_eq!(listed(&page(&[ENDED, ENDED])).unwrap().len(), 2);
    let other = ENDED.replace("+14155550123", "+14155550124");
    let nobody = ENDED.replace(r#""to""#, r#""whom""#);
    let earlier = ENDED.replace("08:00:00Z", "07:59:59Z");
    for row in [&other, &nobody, &earlier] {
        let error = listed(&page(&[ENDED, row])).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ProviderErrorKind::Unreadable, Some("data[1]")));
        assert!(!format!("{error} {error:?}").contains("4155550"));
    }
    assert_eq!(listed(&page(&[ENDED]).replace("false", "true")).unwrap_err().field(), Some("has_more"));
}

#[test]
fn a_long_listing_goes_on_behind_its_last_call_and_shows_the_keys() {
    let asked = Lookup::To {
        number: "+14155550123".parse().unwrap(),
        created_after: "2026-01-31T08:00:00Z".parse().unwrap(),
    };
    let read = |body: &str| voice().read_page(asked, &reply(200, body));
    let broken = ENDED.replace(r#""idempotency_key": "K""#, r#""idempotency_key": 7"#);
    let keyless = ENDED.replace("idempotency_key", "other");
    let last = read(&page(&[ENDED, &broken, &keyless])).unwrap();
    let keys: Vec<_> =
        last.calls.iter().map(|call| call.key.as_ref().map(|key| key.as_str().to_owned())).collect();
    assert_eq!(keys, [Some("K".to_owned()), None, None]);
    assert!(last.next.is_none());

    let more = |last_id: &str| {
        let body = page(&[ENDED]).replace("false", "true");
        body.replace(r#""last_id": null"#, &format!(r#""last_id": {last_id}"#))
    };
    let id = last.calls[0].id.to_string();
    let followed = read(&more(&format!(r#""{id}""#))).unwrap();
    let next = followed.next.as_ref().unwrap().uri().to_string();
    assert_eq!(
        next,
        format!(
            "https://voice.example.com/v1/calls?to=%2B14155550123&created_after=2026-01-31T08%3A00%3A00Z&after={id}&limit=100"
        )
    );
    assert_eq!(format!("{followed:?}"), "Page { calls: 1, more: true }");
    for bad in ["null", r#""call_other""#, "7"] {
        assert_eq!(read(&more(bad)).unwrap_err().field(), Some("last_id"), "{bad}");
    }
    let round = page(&[]).replace("false", "true");
    assert!(read(&round).is_err(), "an empty page has no next one");
    let key = "K".parse().unwrap();
    let cut = voice().read_page(Lookup::Key(&key), &reply(200, page(&[ENDED]).replace("false", "true")));
    assert_eq!(cut.unwrap_err().field(), Some("has_more"));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "canary\\PC{0,20}".prop_map(Into::into),
    ];
    let names =
        ["call_id", "status", "to", "timestamps", "created", "cost", "duration", "data", "has_more", "error"];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let object = prop::collection::hash_map(prop::sample::select(names.to_vec()), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Into::into),
            object.prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

fn shown(code: u16, body: &[u8]) -> String {
    let (voice, reply) = (voice(), reply(code, body));
    let errors = [voice.read_call(&reply).err(), looked_up(&reply).err(), Some(voice.read_error(&reply))];
    errors.into_iter().flatten().map(|error| format!("{error} {error:?}")).collect()
}

proptest! {
    #[test]
    fn no_bytes_panic_a_reader_or_are_repeated(mut body: Vec<u8>, code in 100u16..1000) {
        body.extend(b"canary");
        prop_assert!(!shown(code, &body).contains("canary"));
    }

    #[test]
    fn no_json_panics_a_reader_or_is_repeated(body in any_json(), code in prop::sample::select(vec![200, 201, 400, 500])) {
        prop_assert!(!shown(code, body.to_string().as_bytes()).contains("canary"));
    }

    #[test]
    fn a_call_cut_anywhere_is_unreadable(end in 0..ARTICLE.len()) {
        let error = voice().read_call(&reply(201, &ARTICLE[..end])).unwrap_err();
        prop_assert_eq!(error.field(), Some("body"));
    }

    #[test]
    fn prices_keep_every_digit(whole in 0u32.., fraction in "[0-9]{1,18}") {
        let cost = format!("{whole}.{fraction}");
        let call = voice().read_call(&reply(201, ARTICLE.replace("0.015", &cost))).unwrap();
        prop_assert_eq!(call.cost.unwrap().amount(), cost);
    }
}

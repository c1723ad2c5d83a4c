//! Requests byte for byte, and the base URLs they are made from.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use trunkline_core_types::{Lookup, NewCall, Origin, Provider, ProviderErrorKind};
use trunkline_providers::ClaudeVoice;

use crate::{key, voice};

fn header_lines(request: &http::Request<bytes::Bytes>) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", value.to_str().unwrap())
    };
    let mut lines: Vec<_> = request.headers().iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_create_with_everything_is_these_bytes() {
    let call = NewCall::say("+14155550123", "Say \"hi\"\nto 你好 🎻")
        .and_then(|call| call.from_number("+442071838750"))
        .and_then(|call| call.ring_timeout(Duration::from_secs(20)))
        .and_then(|call| call.max_duration(Duration::from_secs(600)))
        .and_then(|call| call.callback("https://example.com/events?a=b"))
        .and_then(|call| call.tag("order", "17"))
        .and_then(|call| call.tag("client", "é\"\\"))
        .unwrap();
    let request = voice().create(&call, &key()).unwrap();
    assert_eq!(
        (request.method(), request.uri().to_string().as_str()),
        (&Method::POST, "https://voice.example.com/v1/calls")
    );
    let agent = format!("user-agent: trunkline/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        header_lines(&request),
        ["accept: application/json", "content-type: application/json", "idempotency-key: order-17", &agent]
    );
    let want = concat!(
        r#"{"to":"+14155550123","tts":"Say \"hi\"\nto 你好 🎻","from":"+442071838750","retry_policy":"flexible","#,
        r#""ring_timeout":20,"max_duration":600,"callback_url":"https://example.com/events?a=b","#,
        r#""tags":{"client":"é\"\\","order":"17"}}"#
    );
    assert_eq!(std::str::from_utf8(request.body()).unwrap(), want);
}

#[test]
fn a_recording_travels_as_audio_url_with_its_query() {
    let call = NewCall::play("+14155550123", "https://example.com/a.mp3?token=x").unwrap();
    let body = voice().create(&call, &key()).unwrap().into_body();
    let want =
        r#"{"to":"+14155550123","audio_url":"https://example.com/a.mp3?token=x","retry_policy":"flexible"}"#;
    assert_eq!(std::str::from_utf8(&body).unwrap(), want);
}

#[test]
fn reads_and_hang_ups_have_no_body() {
    let (voice, id) = (voice(), "call_5f2c".parse().unwrap());
    let odd = "a&b=c+d/%".parse().unwrap();
    for (request, method, url) in [
        (voice.get(&id), Method::GET, "https://voice.example.com/v1/calls/call_5f2c"),
        (voice.hang_up(&id), Method::DELETE, "https://voice.example.com/v1/calls/call_5f2c"),
        (
            voice.lookup(Lookup::Key(&odd)),
            Method::GET,
            "https://voice.example.com/v1/calls?idempotency_key=a%26b%3Dc%2Bd%2F%25",
        ),
        (
            voice.lookup(Lookup::To {
                number: "+14155550123".parse().unwrap(),
                created_after: "2026-01-31T08:00:00Z".parse().unwrap(),
            }),
            Method::GET,
            "https://voice.example.com/v1/calls?to=%2B14155550123&created_after=2026-01-31T08%3A00%3A00Z&limit=100",
        ),
    ] {
        let request = request.unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&method, url));
        assert!(request.body().is_empty() && !request.headers().contains_key("content-type"));
    }
}

#[test]
fn base_urls_in_all_their_spellings_lead_to_one_place() {
    for (base, url) in [
        ("https://voice.example.com", "https://voice.example.com/v1/calls"),
        ("https://voice.example.com/", "https://voice.example.com/v1/calls"),
        ("https://voice.example.com/v1", "https://voice.example.com/v1/calls"),
        ("https://VOICE.example.com:443/v1/", "https://voice.example.com/v1/calls"),
        ("https://voice.example.com:8443/a/b", "https://voice.example.com:8443/a/b/v1/calls"),
        ("https://voice.example.com/a/v1", "https://voice.example.com/a/v1/calls"),
        ("https://voice.example.com/av1", "https://voice.example.com/av1/v1/calls"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/v1/calls"),
        ("http://[::1]:9000/v1", "http://[::1]:9000/v1/calls"),
    ] {
        let call = NewCall::say("+14155550123", "hello").unwrap();
        let request = ClaudeVoice::new(base).unwrap().create(&call, &key()).unwrap();
        assert_eq!(request.uri().to_string(), url, "{base}");
    }
}

#[test]
fn base_urls_that_are_refused() {
    let long = format!("https://voice.example.com/{}", "a".repeat(1025));
    for base in [
        "",
        "/v1",
        "voice.example.com",
        "http://voice.example.com",
        "ftp://voice.example.com",
        "https://user:canary@voice.example.com",
        "https://voice.example.com?key=canary",
        "https://voice.example.com/v1?",
        "https://voice.example.com/#canary",
        "https://voice.example.com/é",
        "https://voice.example.com:0",
        &long,
    ] {
        let error = ClaudeVoice::new(base).unwrap_err();
        assert_eq!(error.field(), "base_url", "{base}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn a_field_set_past_its_setter_is_checked_again() {
    let mut call = NewCall::say("+14155550123", "hello").unwrap();
    call.ring_timeout = Some(Duration::from_millis(5500));
    let error = voice().create(&call, &key()).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ProviderErrorKind::Input, Some("ring_timeout")));
    call.ring_timeout = None;
    call.max_duration = Some(Duration::from_secs(86_401));
    assert_eq!(voice().create(&call, &key()).unwrap_err().field(), Some("max_duration"));
}

#[test]
fn the_largest_call_fits_into_a_body() {
    let mut call = NewCall::say("+14155550123", &"🎻".repeat(4096)).unwrap();
    for n in 0..16 {
        call = call.tag(&format!("{n}{}", "🎻".repeat(62)), &"🎻".repeat(256)).unwrap();
    }
    let length = voice().create(&call, &key()).unwrap().body().len();
    assert!((16_384..=65_536).contains(&length), "{length}");
}

#[test]
fn the_profile_is_the_contract_s() {
    let profile = voice().profile().clone();
    assert_eq!((profile.name, profile.auth.as_str()), ("claude", "Bearer + X-Signature"));
    assert_eq!(
        (profile.ceiling.to_string(), profile.default_pace.to_string()),
        ("50/s".into(), "50/s".into())
    );
    assert_eq!(
        (profile.billing.as_str(), profile.currency.to_string()),
        ("per started minute", "USD".into())
    );
    let window = Duration::from_secs(86_100);
    assert_eq!(profile.idempotency, trunkline_core_types::Idempotency::Key { window });
}

proptest! {
    #[test]
    fn every_text_and_tag_comes_out_as_it_went_in(
        text in "[ -~\n\t你好é🎻\u{2028}\"\\\\]{1,300}", name in "[ -~你🎻]{1,64}", value in "[ -~你🎻]{0,256}",
    ) {
        prop_assume!(!text.trim().is_empty());
        let call = NewCall::say("+14155550123", &text).unwrap().tag(&name, &value).unwrap();
        let request = voice().create(&call, &key()).unwrap();
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        prop_assert_eq!(body["tts"].as_str(), Some(&text[..]));
        prop_assert_eq!(body["tags"][&name].as_str(), Some(&value[..]));
    }

    #[test]
    fn every_key_survives_the_query(key in "[!-~]{1,255}") {
        let request = voice().lookup(Lookup::Key(&key.parse().unwrap())).unwrap();
        let encoded = request.uri().query().unwrap().strip_prefix("idempotency_key=").unwrap();
        let mut rest = encoded.split('%');
        let mut decoded = rest.next().unwrap().to_owned();
        for part in rest {
            decoded.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
            decoded.push_str(&part[2..]);
        }
        prop_assert_eq!(decoded, key);
        prop_assert!(!encoded.contains(['&', '+', '#', '=']));
    }

    #[test]
    fn no_base_url_panics_and_good_ones_serve_their_requests(base in "(https?://)?\\PC{0,40}") {
        if let Ok(voice) = ClaudeVoice::new(&base) {
            let origin: Origin = voice.origin().parse().unwrap();
            prop_assert!(origin.serves(voice.get(&"c".parse().unwrap()).unwrap().uri()));
        }
    }
}

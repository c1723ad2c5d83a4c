//! The small words of settings, files and replies: what parses comes back from its own text, what does not is not repeated.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::SystemTime;

use trunkline_core_types::{
    AccountId, CallId, CallRef, CallStatus, Currency, E164, EventId, IdempotencyKey, InputError, Money,
    Origin, Provider as _, SpokenText, Timestamp, WebUrl,
};
use trunkline_providers::ClaudeVoice;

use crate::input::Input;
use crate::quiet;

/// What the text is on the first line, then the text.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.line();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    match kind {
        b"number" => number(text),
        b"account" => shown::<AccountId>(text),
        b"call" => shown::<CallId>(text),
        b"reference" => shown::<CallRef>(text),
        b"currency" => shown::<Currency>(text),
        b"time" => time(text),
        b"origin" => origin(text),
        b"base" => base(text),
        b"url" => url(text),
        b"key" => same(text, |key: &IdempotencyKey| key.as_str().to_owned()),
        b"event" => same(text, |id: &EventId| id.as_str().to_owned()),
        b"say" => said(text),
        b"money" => money(text),
        b"status" => status(text),
        _ => {}
    }
}

fn parsed<T: FromStr<Err = InputError>>(text: &str) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            refused(&error);
            None
        }
    }
}

fn refused(error: &InputError) {
    quiet::error(error);
    quiet::canary(&error.to_string());
}

/// Values whose `Display` is the value.
fn shown<T: FromStr<Err = InputError> + Display + Debug + PartialEq>(text: &str) {
    if let Some(value) = parsed::<T>(text) {
        assert_eq!(value.to_string(), text);
        assert_eq!(text.parse().ok(), Some(value));
    }
}

/// Values that give their text and never change it.
fn same<T: FromStr<Err = InputError>>(text: &str, back: fn(&T) -> String) {
    if let Some(value) = parsed::<T>(text) {
        assert_eq!(back(&value), text);
        assert!((1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

fn number(text: &str) {
    let Some(number) = parsed::<E164>(text) else { return };
    assert_eq!(number.expose(), text);
    assert!((8..=16).contains(&text.len()));
    let shown = number.to_string();
    quiet::text(&format!("{shown} {number:?}"));
    assert_eq!(format!("{number:?}"), format!("E164({shown})"));
    assert!(shown.ends_with(&text[text.len() - 2..]) && !shown.contains(&text[text.len() - 3..]));
}

fn time(text: &str) {
    let Some(at) = parsed::<Timestamp>(text) else { return };
    assert_eq!(at.to_string().parse().ok(), Some(at));
    assert_eq!(Timestamp::try_from(SystemTime::from(at)).ok(), Some(at));
}

fn origin(text: &str) {
    let Some(origin) = parsed::<Origin>(text) else { return };
    assert_eq!(origin.to_string().parse().ok(), Some(origin.clone()));
    assert!(origin.port() > 0 && !origin.host().is_empty() && !origin.authority().contains('@'));
    assert!(origin.is_https() || trunkline_core_types::is_loopback(origin.host()));
    let own = format!("{origin}/v1/calls?x=1").parse();
    assert!(own.is_ok_and(|uri| origin.serves(&uri)));
    let other = "https://other.invalid/".parse();
    assert!(origin.host() == "other.invalid" || other.is_ok_and(|uri| !origin.serves(&uri)));
}

fn base(text: &str) {
    let voice = match ClaudeVoice::new(text) {
        Ok(voice) => voice,
        Err(error) => return refused(&error),
    };
    let Ok(origin) = voice.origin().parse::<Origin>() else { panic!("an origin that does not parse") };
    let Ok(id) = "call_1".parse::<CallId>() else { unreachable!("an id") };
    let request = match voice.get(&id) {
        Ok(request) => request,
        Err(error) => return quiet::error(&error),
    };
    assert!(origin.serves(request.uri()), "{} is not of {origin}", request.uri());
    assert!(request.uri().path().ends_with("/v1/calls/call_1") && request.uri().query().is_none());
}

fn url(text: &str) {
    let Some(url) = parsed::<WebUrl>(text) else { return };
    assert_eq!(url.expose().parse().ok(), Some(url.clone()));
    let shown = format!("{url} {url:?}");
    assert!(!shown.contains('?'), "a query is shown: {shown}");
    assert!(
        url.expose().len() <= WebUrl::MAX + 1 && !url.expose().contains('@')
            || url.uri().path().contains('@')
            || url.uri().query().is_some_and(|query| query.contains('@'))
    );
}

fn said(text: &str) {
    let Some(said) = parsed::<SpokenText>(text) else { return };
    assert_eq!(said.as_str(), text);
    assert!(text.chars().count() <= SpokenText::MAX && !text.trim().is_empty());
    quiet::canary(&format!("{said:?}"));
}

fn money(text: &str) {
    match Money::parse(text, Currency::USD) {
        Ok(money) => {
            assert_eq!(Money::parse(&money.amount(), Currency::USD).ok(), Some(money));
            assert!(money.checked_add(Money::zero(Currency::USD)).is_some());
        }
        Err(error) => refused(&error),
    }
}

fn status(text: &str) {
    let status: CallStatus = text.parse().unwrap_or_else(|never| match never {});
    assert_eq!(status.as_str(), text);
    assert!(status.rank() <= 4 && status.is_final() == (status.rank() == 4));
}

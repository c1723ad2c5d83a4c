//! Callbacks: who signed, what they say, and the fold of them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use secrecy::SecretString;
use trunkline_core_types::{
    CallEvent, CallState, Key, KeySet, MacKey, Provider as _, Reply, WebhookError, WebhookErrorKind as Kind,
};
use trunkline_providers::ClaudeVoice;

use crate::input::Input;
use crate::{quiet, reply};

const CURRENT: &str = "canary-current-3f1c";
const PREVIOUS: &str = "canary-previous-77a0";
/// 2026-01-31T08:00:10Z.
const NOW: Duration = Duration::from_secs(1_769_846_410);
const MAX_BODY: usize = 64 * 1024;

/// The first line says how the bodies are signed: `current`, `previous`, or the header itself. Bodies are separated by lines of `--`.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.line();
    let voice = reply::voice();
    let mut events = Vec::new();
    for body in bodies(input.rest()) {
        match taken(&voice, how, body) {
            Ok(event) => {
                describes(&voice, &event, body);
                events.push(event);
            }
            Err(error) => {
                quiet::error(&error);
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(CURRENT) && !shown.contains(PREVIOUS), "a secret is shown: {shown}");
            }
        }
    }
    folds(&events);
}

fn bodies(mut rest: &[u8]) -> Vec<&[u8]> {
    const BETWEEN: &[u8] = b"\n--\n";
    let mut bodies = Vec::new();
    while let Some(at) = rest.windows(BETWEEN.len()).position(|part| part == BETWEEN) {
        bodies.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    bodies.push(rest);
    bodies.truncate(6);
    bodies
}

fn taken(voice: &ClaudeVoice, how: &[u8], body: &[u8]) -> Result<CallEvent, WebhookError> {
    let signed = |secret: &str| MacKey::new(secret.as_bytes()).x_signature(body).into_bytes();
    let header = match how {
        b"current" => signed(CURRENT),
        b"previous" => signed(PREVIOUS),
        other => other.to_vec(),
    };
    let genuine = header == signed(CURRENT) || header == signed(PREVIOUS);
    let mut request = Request::new(Bytes::copy_from_slice(body));
    if let Ok(header) = header.try_into() {
        request.headers_mut().insert("x-signature", header);
    }
    let (key, previous) = (key(CURRENT), key(PREVIOUS));
    let keys = KeySet { current: key, previous: Some(previous) };
    let read = voice.webhook(&request, &keys, SystemTime::UNIX_EPOCH + NOW);
    match &read {
        Err(error) if !genuine => assert_eq!(error.kind(), Kind::Signature),
        Err(error) => assert!(matches!(error.kind(), Kind::Unreadable | Kind::Stale), "{error}"),
        Ok(_) => assert!(genuine, "a body was believed that nobody signed"),
    }
    if let Some(header) = request.headers().get("x-signature").cloned() {
        request.headers_mut().append("x-signature", header);
        let doubled = voice.webhook(&request, &keys, SystemTime::UNIX_EPOCH + NOW);
        assert!(doubled.is_err_and(|error| error.kind() == Kind::Signature));
    }
    read
}

fn key(secret: &str) -> Key {
    match Key::new(SecretString::from(secret), "v1") {
        Ok(key) => key,
        Err(error) => panic!("{error}"),
    }
}

fn describes(voice: &ClaudeVoice, event: &CallEvent, body: &[u8]) {
    assert!(body.len() <= MAX_BODY);
    let created = SystemTime::from(event.created);
    let now = SystemTime::UNIX_EPOCH + NOW;
    assert!(created <= now + Duration::from_secs(300) && created + Duration::from_secs(86_400) >= now);
    reply::comes_back(voice, &event.call);
    let kept = Reply::new(Response::new(event.body.clone()));
    assert_eq!(voice.read_call(&kept).ok().as_ref(), Some(&event.call), "what a journal keeps is the call");
}

/// Any order and any duplicates give the same state, and no event lowers the rank.
fn folds(events: &[CallEvent]) {
    let fold = |order: &mut dyn Iterator<Item = &CallEvent>| {
        let (mut state, mut rank) = (CallState::new(), 0);
        for event in order {
            state.fold(event);
            let now = state.status().map_or(0, |status| status.rank());
            assert!(now >= rank);
            rank = now;
            assert!(!state.fold(event), "a repeat changed something");
        }
        state
    };
    // Two events under one id are one event only if they say the same.
    let unlike = |one: &CallEvent, other: &CallEvent| one.id == other.id && one != other;
    if events.iter().any(|one| events.iter().any(|other| unlike(one, other))) {
        return;
    }
    let state = fold(&mut events.iter());
    assert_eq!(fold(&mut events.iter().rev()), state);
    let half = events.len() / 2;
    assert_eq!(fold(&mut events[half..].iter().chain(&events[..half]).chain(events)), state);
}

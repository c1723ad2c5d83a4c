//! Replies to look-ups: what they prove must stand in them.

use serde_json::Value;
use trunkline_core_types::{Call, E164, IdempotencyKey, Lookup, Provider as _, Reply, Timestamp};
use trunkline_providers::ClaudeVoice;

use crate::input::Input;
use crate::{quiet, reply};

/// The first line is `key K` or `to NUMBER TIME`, then comes a reply.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let asked = input.text();
    let voice = reply::voice();
    let (key, to) = (asked.strip_prefix("key ").and_then(|key| key.parse().ok()), number(asked));
    let answer = input.reply();
    let by = match (&key, to) {
        (Some(key), _) => Lookup::Key(key),
        (None, Some((number, created_after))) => Lookup::To { number, created_after },
        (None, None) => return,
    };
    match voice.lookup(by) {
        Ok(request) => assert!(request.uri().query().is_some_and(|query| !query.contains(['+', ' ', '"']))),
        Err(error) => quiet::error(&error),
    }
    pages(&voice, by, &answer);
    match voice.read_lookup(by, &answer) {
        Ok(calls) => proves(&calls, by, &answer, false),
        Err(error) => {
            quiet::error(&error);
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}

/// One page of several: the next one is asked of the same place, with the same filter, behind the last call.
fn pages(voice: &ClaudeVoice, by: Lookup<'_>, answer: &Reply) {
    let page = match voice.read_page(by, answer) {
        Ok(page) => page,
        Err(error) => return quiet::error(&error),
    };
    proves(&page.calls, by, answer, page.next.is_some());
    let Some(next) = page.next else {
        assert_eq!(voice.read_lookup(by, answer).ok(), Some(page.calls));
        return;
    };
    let first = voice.lookup(by).ok().map(|request| request.uri().to_string());
    let Some((filter, limit)) = first.as_deref().and_then(|uri| uri.rsplit_once('&')) else {
        panic!("a look-up without a limit: {first:?}")
    };
    let last = page.calls.last().map(|call| format!("{filter}&after={}&{limit}", call.id));
    assert_eq!(Some(next.uri().to_string()), last);
}

fn number(asked: &str) -> Option<(E164, Timestamp)> {
    let (number, since) = asked.strip_prefix("to ")?.split_once(' ')?;
    Some((number.parse().ok()?, since.parse().ok()?))
}

/// Held against another reader of the same JSON.
fn proves(calls: &[Call], by: Lookup<'_>, answer: &Reply, more: bool) {
    assert!(answer.status().is_success() && calls.len() <= 100);
    let page: Value = match serde_json::from_slice(answer.body()) {
        Ok(page) => page,
        Err(error) => panic!("a page that is no JSON was read: {error}"),
    };
    assert_eq!(page["has_more"], more, "a page that is not the last proves nothing");
    let rows = page["data"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(page["data"].is_array() && rows.len() == calls.len());
    for (row, call) in rows.iter().zip(calls) {
        assert_eq!(row["call_id"], call.id.as_str());
        assert!(call.key.as_ref().is_none_or(|key| row["idempotency_key"] == key.as_str()));
        match by {
            Lookup::Key(key) => is_of(row, key),
            Lookup::To { number, created_after } => {
                assert_eq!((call.to, &row["to"]), (Some(number), &number.expose().into()));
                assert!(call.created.is_some_and(|at| at >= created_after));
            }
            _ => {}
        }
    }
}

fn is_of(row: &Value, key: &IdempotencyKey) {
    assert_eq!(row["idempotency_key"], key.as_str());
}

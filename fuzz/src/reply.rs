//! Replies to a create, a read or a hang-up: the call in them, the class they give, the error they tell.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};
use trunkline_core_types::{
    Call, Class, Judge as _, Money, Operation, Provider, ProviderErrorKind, Reply, Verdict, class_of_reply,
};
use trunkline_providers::ClaudeVoice;

use crate::input::Input;
use crate::quiet;

/// The longest body that is read.
const MAX_BODY: usize = 1 << 20;
const DAY: u64 = 86_400;

/// Status, headers and body as they stand.
pub fn check(data: &[u8]) {
    let voice = voice();
    let reply = Input::new(data).reply();
    classes(&voice, &reply);
    errors(&voice, &reply);
    match voice.read_call(&reply) {
        Ok(call) => {
            assert!(reply.status().is_success() && reply.body().len() <= MAX_BODY);
            comes_back(&voice, &call);
        }
        Err(error) => {
            assert_eq!(error.kind(), ProviderErrorKind::Unreadable);
            quiet::error(&error);
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}

pub(crate) fn voice() -> ClaudeVoice {
    // On this machine, since a client of another one would read the machine's certificates for each input.
    match ClaudeVoice::new("http://127.0.0.1:9") {
        Ok(voice) => voice,
        Err(error) => panic!("{error}"),
    }
}

/// A call as a provider would write it.
pub(crate) fn written(call: &Call) -> Value {
    let mut times = Map::new();
    let mut object = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        value.map(|value| object.insert(name.to_owned(), value.into()));
    };
    put("call_id", Some(call.id.to_string()));
    put("status", Some(call.status.to_string()));
    put("to", call.to.map(|to| to.expose()));
    put("currency", call.cost.map(|cost| cost.currency().to_string()));
    for (name, at) in [("created", call.created), ("ended", call.ended)] {
        at.map(|at| times.insert(name.to_owned(), at.to_string().into()));
    }
    object.insert("timestamps".to_owned(), Value::Object(times));
    if let Some(duration) = call.duration {
        object.insert("duration".to_owned(), duration.as_secs().into());
    }
    Value::Object(object)
}

/// What was read is what its own text says.
pub(crate) fn comes_back(voice: &ClaudeVoice, call: &Call) {
    let cost = call.cost.map_or_else(|| "0".to_owned(), |cost| cost.amount());
    // By hand, since a number through a float would not come back.
    let text = written(call).to_string().replacen('{', &format!("{{\"cost\":{cost},"), 1);
    let again = voice.read_call(&Reply::new(Response::new(Bytes::from(text.clone()))));
    assert_eq!(again.as_ref().ok(), Some(call), "{text}: {again:?}");
    quiet::text(call.status.as_str());
    if let Some(to) = call.to {
        quiet::text(&format!("{to} {to:?}"));
    }
    let money = call.cost.map(|cost| Money::parse(&cost.amount(), cost.currency()).ok());
    assert_eq!(money, call.cost.map(Some));
}

/// A 2xx is accepted and nothing else is; what is open by its status is never made a refusal but by a 4xx of the table.
fn classes(voice: &ClaudeVoice, reply: &Reply) {
    for operation in [Operation::Create, Operation::Change, Operation::Read] {
        let verdict = voice.judge(operation, reply.status(), reply.headers(), reply.body());
        let (class, wait) = class_of_reply(reply.status(), verdict);
        match reply.status().as_u16() {
            200..=299 => assert_eq!(class, Class::Accepted),
            429 => assert_eq!(class, Class::Deferred),
            408 | 100..=199 | 300..=399 | 500.. => assert_eq!(class, Class::Ambiguous),
            409 => assert!(matches!(class, Class::Ambiguous | Class::Rejected(_))),
            _ => assert!(matches!(class, Class::Rejected(_)), "{class:?}"),
        }
        assert!(wait.is_none_or(|wait| wait.as_secs() <= DAY));
        assert!(!matches!(verdict, Verdict::Deferred(_)) || reply.status() == StatusCode::TOO_MANY_REQUESTS);
    }
}

fn errors(voice: &ClaudeVoice, reply: &Reply) {
    let error = voice.read_error(reply);
    quiet::error(&error);
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
    assert!(error.to_string().chars().count() <= 512 + 512 + 128 + 16);
    assert!(error.request_id().is_none_or(|id| id.len() <= 128));
    assert!(error.code().is_none_or(|code| code.chars().count() <= 512));
    assert!(error.field().is_none_or(|field| field.chars().count() <= 512));
}

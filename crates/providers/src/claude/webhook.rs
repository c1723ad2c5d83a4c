//! Callbacks: who sent it, then what it says, then whether it is still of use. In this order, so that nothing unsigned is read.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde::Deserialize;
use serde_json::value::RawValue;
use trunkline_core_types::{
    CallEvent, Currency, Key, KeySet, MacKey, Timestamp, WebhookError, WebhookErrorKind as Kind,
};

use super::response::{WireCall, call};
use crate::json::{Bad, Raw, object, parsed, read, required, whole};

/// The longest callback body that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How old an event may be: as long as the service repeats it.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How far ahead of our clock an event may be.
const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow)]
    event_id: Raw<'a>,
    #[serde(borrow)]
    created: Raw<'a>,
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    call: Raw<'a>,
}

pub(super) fn read_webhook(
    request: &Request<Bytes>,
    keys: &KeySet,
    now: SystemTime,
    currency: Currency,
) -> Result<CallEvent, WebhookError> {
    verify(request.headers(), request.body(), keys)?;
    let event = event(request.body(), currency)
        .map_err(|bad| WebhookError::new(Kind::Unreadable, format!("{}: {}", bad.path, bad.problem)))?;
    in_window(event.created, now)?;
    Ok(event)
}

/// Exactly one header, against both keys of a rotation, each in constant time and always both.
fn verify(headers: &HeaderMap, body: &[u8], keys: &KeySet) -> Result<(), WebhookError> {
    let mut values = headers.get_all("x-signature").iter();
    let problem = match (values.next(), values.next()) {
        (None, _) => "X-Signature is missing",
        (_, Some(_)) => "X-Signature is there more than once",
        (Some(header), None) => {
            let fits =
                |key: &Key| MacKey::new(key.expose().as_bytes()).verify_x_signature(header.as_bytes(), body);
            #[cfg(trunkline_mutation)]
            if trunkline_core_types::Mutation::ForgedTaken.is_on() {
                return Ok(());
            }
            if fits(&keys.current) | keys.previous.as_ref().is_some_and(fits) {
                return Ok(());
            }
            "X-Signature is not the body's under the current or the previous secret; check the account's secret, and that the body is passed on as it came"
        }
    };
    Err(WebhookError::new(Kind::Signature, problem))
}

fn event(body: &[u8], currency: Currency) -> Result<CallEvent, Bad> {
    if body.len() > MAX_BODY {
        return Err(Bad::new("body", format!("{} bytes; at most {MAX_BODY} are read", body.len())));
    }
    let wire: WireEvent<'_> = whole(body)?;
    let id = parsed("event_id", required("event_id", wire.event_id)?, "1 to 128 visible ASCII characters")?;
    let created = parsed("created", required("created", wire.created)?, "an RFC 3339 time")?;
    let raw = required("call", wire.call)?;
    let told: WireCall<'_> = object("call", raw)?;
    let call = call(&told, currency).map_err(|bad| bad.under("call"))?;
    kind(required("type", wire.kind)?, call.status.as_str())?;
    let mut event = CallEvent::new(id, created, call);
    let want = "1 to 255 visible ASCII characters";
    let key = told.idempotency_key.map(|raw| parsed("idempotency_key", raw, want)).transpose();
    event.key = key.map_err(|bad| bad.under("call"))?;
    event.body = Bytes::copy_from_slice(raw.get().as_bytes());
    Ok(event)
}

/// The type repeats the status; one that does not is no event of this contract.
fn kind(raw: &RawValue, status: &str) -> Result<(), Bad> {
    let word: String = read("type", raw, "a string")?;
    match word.strip_prefix("call.") == Some(status) {
        true => Ok(()),
        false => Err(Bad::new("type", "not `call.` and the call's status")),
    }
}

fn in_window(created: Timestamp, now: SystemTime) -> Result<(), WebhookError> {
    let created = SystemTime::from(created);
    let problem = match now.duration_since(created) {
        Ok(age) if age > MAX_AGE => "created: more than 24 h ago, later than the service repeats an event",
        Err(ahead) if ahead.duration() > MAX_AHEAD => {
            "created: more than 5 min ahead; check this machine's clock"
        }
        _ => return Ok(()),
    };
    Err(WebhookError::new(Kind::Stale, problem))
}

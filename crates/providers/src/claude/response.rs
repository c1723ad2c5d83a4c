//! Replies to calls: required fields are checked, unknown ones ignored, unknown words kept, prices read through their text.

mod usual;

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use trunkline_core_types::{
    Call, CallId, CallStatus, Currency, E164, IdempotencyKey, Lookup, Money, ProviderError,
    ProviderErrorKind, Reply, Timestamp,
};

use super::error::{MAX_BODY, request_id};
use crate::json::{Bad, Raw, object, parsed, read, required, whole, word};

/// The most calls of a page.
const MAX_PAGE: usize = 100;
/// The longest word of a status, in characters.
const MAX_STATUS: usize = 64;

#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(borrow)]
    call_id: Raw<'a>,
    #[serde(borrow)]
    status: Raw<'a>,
    #[serde(borrow)]
    to: Raw<'a>,
    #[serde(borrow)]
    timestamps: Raw<'a>,
    #[serde(borrow)]
    cost: Raw<'a>,
    #[serde(borrow)]
    currency: Raw<'a>,
    #[serde(borrow)]
    duration: Raw<'a>,
    #[serde(borrow)]
    pub(super) idempotency_key: Raw<'a>,
}

#[derive(Deserialize)]
struct WireTimes<'a> {
    #[serde(borrow)]
    created: Raw<'a>,
    #[serde(borrow)]
    ended: Raw<'a>,
}

#[derive(Deserialize)]
struct WirePage<'a> {
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    has_more: Raw<'a>,
    #[serde(borrow)]
    last_id: Raw<'a>,
}

pub(super) fn read_call(reply: &Reply, currency: Currency) -> Result<Call, ProviderError> {
    let body = bounded(reply).map_err(|bad| unreadable(reply, bad))?;
    if let Some(call) = usual::call(body, currency) {
        return Ok(call);
    }
    whole(body).and_then(|wire| call(&wire, currency)).map_err(|bad| unreadable(reply, bad))
}

/// The calls of a look-up's only page, each of which must be what was asked for.
pub(super) fn read_whole(
    reply: &Reply,
    by: Lookup<'_>,
    currency: Currency,
) -> Result<Vec<Call>, ProviderError> {
    let read = bounded(reply).and_then(|body| page(body, by, currency, false));
    read.map(|(calls, _)| calls).map_err(|bad| unreadable(reply, bad))
}

/// The calls of a page, each of which must be what was asked for, and the last one's id if more follow.
pub(super) fn read_page(
    reply: &Reply,
    by: Lookup<'_>,
    currency: Currency,
) -> Result<(Vec<Call>, Option<CallId>), ProviderError> {
    let several = matches!(by, Lookup::To { .. });
    bounded(reply).and_then(|body| page(body, by, currency, several)).map_err(|bad| unreadable(reply, bad))
}

fn bounded(reply: &Reply) -> Result<&[u8], Bad> {
    let (status, length) = (reply.status(), reply.body().len());
    if !status.is_success() {
        return Err(Bad::new("http_status", "not a success, so nothing in it is a call"));
    }
    if length > MAX_BODY {
        return Err(Bad::new("body", format!("{length} bytes; at most {MAX_BODY} are read")));
    }
    Ok(reply.body())
}

pub(super) fn call(wire: &WireCall<'_>, currency: Currency) -> Result<Call, Bad> {
    let id = parsed("call_id", required("call_id", wire.call_id)?, "1 to 128 of A-Z a-z 0-9 _ -")?;
    let mut call = Call::new(id, status(required("status", wire.status)?)?);
    call.to = wire.to.map(|raw| parsed("to", raw, "an E.164 number")).transpose()?;
    let times: WireTimes<'_> = object("timestamps", required("timestamps", wire.timestamps)?)?;
    let created = required("created", times.created).map_err(|bad| bad.under("timestamps"))?;
    call.created = Some(time("created", created)?);
    call.ended = times.ended.map(|raw| time("ended", raw)).transpose()?;
    call.cost = Some(cost(wire, currency)?);
    if let Some(raw) = wire.duration {
        let seconds: u32 = read("duration", raw, "whole seconds")?;
        call.duration = Some(Duration::from_secs(seconds.into()));
    }
    Ok(call)
}

fn status(raw: &RawValue) -> Result<CallStatus, Bad> {
    let word = word("status", raw, MAX_STATUS)?;
    // A status is printed; seven digits in a row are somebody's number.
    if word.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= 7) {
        return Err(Bad::new("status", "holds a number; expected a word"));
    }
    Ok(word.parse().unwrap_or_else(|never| match never {}))
}

fn time(path: &str, raw: &RawValue) -> Result<Timestamp, Bad> {
    parsed(path, raw, "an RFC 3339 time").map_err(|bad| bad.under("timestamps"))
}

/// The price through its own text: a float would already have rounded it.
fn cost(wire: &WireCall<'_>, currency: Currency) -> Result<Money, Bad> {
    let currency = match wire.currency {
        Some(raw) => parsed("currency", raw, "three capital letters (ISO 4217)")?,
        None => currency,
    };
    let raw = required("cost", wire.cost)?;
    let want = "a decimal number of at most 28 digits";
    Money::parse(raw.get(), currency).map_err(|_| Bad::shape("cost", raw, want))
}

/// The calls of a page, and the last one's id if more follow, which is an error unless the answer may have several pages.
fn page(
    body: &[u8],
    by: Lookup<'_>,
    currency: Currency,
    several: bool,
) -> Result<(Vec<Call>, Option<CallId>), Bad> {
    let page: WirePage<'_> = whole(body)?;
    let rows: Vec<WireCall<'_>> = rows(required("data", page.data)?)?;
    let has_more: bool = read("has_more", required("has_more", page.has_more)?, "a boolean")?;
    if has_more && !several {
        let problem = "true; only the whole answer proves what was placed and what was not";
        return Err(Bad::new("has_more", problem));
    }
    let mut calls = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let mut call = call(row, currency).map_err(|bad| bad.under(&format!("data[{at}]")))?;
        // What is no key names no call of ours.
        call.key = row.idempotency_key.and_then(|raw| parsed("idempotency_key", raw, "a key").ok());
        calls.push(call);
    }
    match by {
        Lookup::Key(key) => of_key(&rows, key)?,
        Lookup::To { number, created_after } => of_number(&calls, number, created_after)?,
        _ => return Err(Bad::new("data", "the answer to a look-up that this API does not have")),
    }
    let last = if has_more { Some(last_id(&page, &calls)?) } else { None };
    Ok((calls, last))
}

/// Where the next page begins: behind the last call of this one, so that no list goes round in circles.
fn last_id(page: &WirePage<'_>, calls: &[Call]) -> Result<CallId, Bad> {
    let named: CallId = parsed("last_id", required("last_id", page.last_id)?, "1 to 128 of A-Z a-z 0-9 _ -")?;
    match calls.last() {
        Some(last) if last.id == named => Ok(named),
        _ => Err(Bad::new("last_id", "not the last call of the page")),
    }
}

fn rows<'a>(data: &'a RawValue) -> Result<Vec<WireCall<'a>>, Bad> {
    let raw: Vec<&RawValue> = read("data", data, "a list of calls")?;
    if raw.len() > MAX_PAGE {
        return Err(Bad::new("data", format!("{} calls; a page holds at most {MAX_PAGE}", raw.len())));
    }
    let row = |(at, raw): (usize, &'a RawValue)| object(&format!("data[{at}]"), raw);
    raw.into_iter().enumerate().map(row).collect()
}

/// A server that does not know the filter lists the account's calls: those are not of the key and prove nothing.
fn of_key(rows: &[WireCall<'_>], key: &IdempotencyKey) -> Result<(), Bad> {
    for (at, row) in rows.iter().enumerate() {
        let path = format!("data[{at}].idempotency_key");
        let named: String = read(&path, required(&path, row.idempotency_key)?, "a string")?;
        if named != key.as_str() {
            return Err(Bad::new(&path, "another key, so the filter was not applied"));
        }
    }
    Ok(())
}

/// The same for a number and a time.
fn of_number(calls: &[Call], number: E164, created_after: Timestamp) -> Result<(), Bad> {
    let fits = |call: &Call| call.to == Some(number) && call.created.is_some_and(|at| at >= created_after);
    match calls.iter().position(|call| !fits(call)) {
        None => Ok(()),
        Some(at) => {
            let path = format!("data[{at}]");
            Err(Bad::new(&path, "another number or an earlier creation, so the filter was not applied"))
        }
    }
}

fn unreadable(reply: &Reply, bad: Bad) -> ProviderError {
    let message = format!("reply {}: {}: {}", reply.status().as_u16(), bad.path, bad.problem);
    let error = ProviderError::new(ProviderErrorKind::Unreadable, &message).with_field(&bad.path);
    match request_id(reply.headers()) {
        Some(id) => error.with_request_id(id),
        None => error,
    }
}

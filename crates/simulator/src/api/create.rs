//! Placing a call: pace, fault, body, key, ring, reply, in this order.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::{Api, Received};
use crate::callbacks::Target;
use crate::calls::{Call, CallView, Progress};
use crate::draft::Draft;
use crate::faults::Fault;
use crate::keys::Seen;
use crate::query::is_key;
use crate::reply::{Answer, REPLAYED, Refusal, Reply, json};

/// What became of a create, before a fault spoils the answer.
struct Placed<'a> {
    reply: Reply,
    /// A key whose request is running until this is dropped, also when the client goes away.
    _running: Option<Running<'a>>,
}

struct Running<'a> {
    api: &'a Api,
    key: String,
    call: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.api.state().keys.answered(&self.key, self.call);
    }
}

impl Api {
    pub(super) async fn create(&self, received: &Received) -> Answer {
        let fault = match self.arrival(received) {
            Ok(fault) => fault,
            Err(refusal) => return self.delayed(refusal.into_reply()).await,
        };
        match fault {
            Some(Fault::ResetBeforeActing) => return Answer::Reset,
            Some(Fault::ErrorBeforeActing) => return self.delayed(Refusal::api().into_reply()).await,
            Some(Fault::Throttle { retry_after }) => {
                return self.delayed(Refusal::rate_limit(u64::from(retry_after)).into_reply()).await;
            }
            _ => {}
        }
        let placed = self.place(received);
        if fault == Some(Fault::LostTrack)
            && let Ok(Some(key)) = idempotency_key(&received.parts.headers)
        {
            self.state().keys.lose(&key);
        }
        let slow = if let Some(Fault::Slow(by)) = fault { by } else { Duration::ZERO };
        self.pause(self.manners.latency.saturating_add(slow)).await;
        let reply = match placed {
            Ok(placed) => placed.reply,
            Err(refusal) => refusal.into_reply(),
        };
        spoiled(fault, reply)
    }

    async fn delayed(&self, reply: Reply) -> Answer {
        self.pause(self.manners.latency).await;
        Answer::Reply(reply)
    }

    /// Counts the create, refuses it above the pace, and draws its fault.
    fn arrival(&self, received: &Received) -> Result<Option<Fault>, Refusal> {
        let mut state = self.state();
        state.tally.creates += 1;
        if let Err(wait) = state.window.admit(received.arrived) {
            state.tally.pace_violations += 1;
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(Refusal::rate_limit(seconds.max(1)));
        }
        let fault = state.faults.draw();
        if let Some(fault) = fault {
            *state.tally.faults.entry(fault.name()).or_default() += 1;
        }
        Ok(fault)
    }

    fn place(&self, received: &Received) -> Result<Placed<'_>, Refusal> {
        let headers = &received.parts.headers;
        content_type(headers)?;
        let key = idempotency_key(headers)?;
        let draft = Draft::parse(&received.body)?;
        let now = self.clock.now();
        let mut state = self.state();
        let honoured = key.as_deref().filter(|_| self.manners.honours_keys);
        if let Some(key) = honoured {
            match state.keys.look(key, &received.body, now) {
                Seen::New => {}
                Seen::Replay(index) => {
                    let call = state.calls.at(index).ok_or_else(Refusal::api)?;
                    let mut reply = created(call);
                    reply.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                    state.tally.replays += 1;
                    return Ok(Placed { reply, _running: None });
                }
                Seen::Conflict => {
                    return Err(Refusal::conflict(
                        "idempotency_conflict",
                        "this key was used with another body",
                    ));
                }
                Seen::Running => {
                    let problem = "the first request with this key is still running";
                    return Err(Refusal::conflict("idempotency_in_progress", problem).after(1));
                }
                Seen::Lost => return Err(lost_track()),
            }
        }
        if state.calls.full() {
            let status = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return Err(Refusal::new(
                status,
                "overloaded",
                "the simulator holds no more calls; start a new one",
            ));
        }
        let call = self.new_call(state.calls.len(), draft, key.clone(), now);
        let reply = created(&call);
        let index = state.calls.place(call);
        self.ring_bell(&mut state, index, now);
        let running = honoured.map(|key| {
            state.keys.use_up(key, &received.body, index, now);
            Running { api: self, key: key.to_owned(), call: index }
        });
        drop(state);
        Ok(Placed { reply, _running: running })
    }

    fn new_call(&self, index: usize, draft: Draft, key: Option<String>, now: std::time::Instant) -> Call {
        let created = Timestamp::try_from(self.clock.wall()).unwrap_or_default();
        let created = Timestamp::from_millisecond(created.as_millisecond()).unwrap_or(created);
        // The place in the order makes the id unique, the rest keeps it from being guessed.
        let id = format!("call_{index:x}_{:016x}", self.entropy.next());
        let target = draft.callback_url.as_deref().and_then(Target::of);
        Call { id, draft, key, placed: now, created, hung_up: None, target, told: 0 }
    }
}

/// The answer as the fault leaves it, when the acting is done.
fn spoiled(fault: Option<Fault>, reply: Reply) -> Answer {
    match fault {
        Some(Fault::ResetAfterActing) => Answer::Reset,
        Some(Fault::ErrorAfterActing) => Answer::Reply(Refusal::api().into_reply()),
        Some(Fault::LostTrack) => Answer::Reply(lost_track().into_reply()),
        Some(Fault::TruncatedReply) => {
            let half = hyper::body::Body::size_hint(reply.body()).exact().unwrap_or(0) / 2;
            Answer::Cut(reply, usize::try_from(half).unwrap_or(0))
        }
        Some(Fault::CloseAfterReply) => Answer::Last(reply),
        _ => Answer::Reply(reply),
    }
}

fn lost_track() -> Refusal {
    Refusal::conflict("idempotency_state_unknown", "the outcome is not known; look the key up")
}

fn created(call: &Call) -> Reply {
    json(StatusCode::CREATED, &CallView::new(call, Progress::created()))
}

fn content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let media = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim(),
        _ => "",
    };
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::invalid("content-type", "application/json is needed, once"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let wrong = || Refusal::invalid("idempotency-key", "not one value of 1 to 255 visible ASCII characters");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if is_key(value.as_bytes()) => {
            value.to_str().map(|key| Some(key.to_owned())).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

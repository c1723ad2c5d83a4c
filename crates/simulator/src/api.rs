//! The API behind the connections: routes a request, keeps the book, answers.

mod create;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::DATE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use tokio::sync::Notify;
use trunkline_core_types::{Clock, Entropy};

use crate::account::{Account, Denial};
use crate::book::{Book, BookedCall, Tally};
use crate::callbacks::Outbox;
use crate::calls::{Call, CallLife, CallView, Calls, PageView};
use crate::faults::FaultSource;
use crate::keys::Keys;
use crate::pace::Window;
use crate::query::Query;
use crate::reply::{Answer, Refusal, Reply, json};

/// One request, wholly received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    pub(crate) peer: IpAddr,
    /// When its head was complete.
    pub(crate) arrived: Instant,
}

/// What the settings say about behaviour.
#[derive(Debug)]
pub(crate) struct Manners {
    pub(crate) latency: Duration,
    pub(crate) listing_lag: Duration,
    pub(crate) honours_keys: bool,
    pub(crate) shows_keys: bool,
    pub(crate) life: CallLife,
    /// Between the first and the second send of an event that nobody acknowledged.
    pub(crate) callback_pause: Duration,
}

/// Everything that changes, under one lock that is never held across a wait.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) calls: Calls,
    pub(crate) keys: Keys,
    pub(crate) window: Window,
    pub(crate) faults: FaultSource,
    pub(crate) outbox: Outbox,
    pub(crate) tally: Tally,
}

/// The API of one account.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) account: RwLock<Account>,
    pub(crate) manners: Manners,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) state: Mutex<State>,
    /// Rung when the outbox has something new.
    pub(crate) bell: Notify,
}

impl Api {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn book(&self) -> Book {
        let state = self.state();
        state.tally.book(state.calls.len(), state.calls.people())
    }

    pub(crate) fn booked(&self) -> Vec<BookedCall> {
        self.state().calls.booked(&self.manners.life, self.clock.now())
    }

    /// Answers one request and stamps the reply with `request-id` and `date`.
    pub(crate) async fn answer(&self, received: Received) -> Answer {
        let id = format!("req_{:016x}", self.entropy.next());
        let mut answer = match received.parts.uri.path() {
            "/_health" => Answer::Reply(self.health(&received.parts.method)),
            "/_book" => Answer::Reply(self.book_reply(&received.parts.method)),
            _ => self.call_api(&received).await,
        };
        if let Answer::Reply(reply) | Answer::Cut(reply, _) | Answer::Last(reply) = &mut answer {
            self.stamp(reply, &id);
            tracing::debug!(request_id = id, method = %received.parts.method, status = reply.status().as_u16(), "answered");
        } else {
            tracing::debug!(request_id = id, method = %received.parts.method, "reset");
        }
        answer
    }

    /// 413 for a body that was too long to read.
    pub(crate) fn too_large(&self) -> Reply {
        self.state().tally.requests += 1;
        let refusal = Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Refusal::invalid("body", "longer than 64 KiB")
        };
        let mut reply = refusal.into_reply();
        self.stamp(&mut reply, &format!("req_{:016x}", self.entropy.next()));
        reply
    }

    fn stamp(&self, reply: &mut Reply, id: &str) {
        let date = Timestamp::try_from(self.clock.wall()).unwrap_or_default();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        for (name, value) in [(http::HeaderName::from_static("request-id"), id), (DATE, &date)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                reply.headers_mut().insert(name, value);
            }
        }
    }

    fn health(&self, method: &Method) -> Reply {
        if method != Method::GET {
            return Refusal::method("GET").into_reply();
        }
        json(StatusCode::OK, &std::collections::BTreeMap::from([("status", "ok")]))
    }

    fn book_reply(&self, method: &Method) -> Reply {
        if method != Method::GET {
            return Refusal::method("GET").into_reply();
        }
        json(StatusCode::OK, &self.book())
    }

    async fn call_api(&self, received: &Received) -> Answer {
        if let Err(refusal) = self.admit(received) {
            return Answer::Reply(refusal.into_reply());
        }
        let path = received.parts.uri.path();
        let method = &received.parts.method;
        let call = path.strip_prefix("/v1/calls/").filter(|id| !id.is_empty() && !id.contains('/'));
        if path == "/v1/calls" && method == Method::POST {
            return self.create(received).await;
        }
        self.pause(self.manners.latency).await;
        let reply = match (path, call) {
            ("/v1/calls", _) if method == Method::GET => self.list(received.parts.uri.query().unwrap_or("")),
            ("/v1/calls", _) => Err(Refusal::method("GET, POST")),
            (_, Some(id)) if method == Method::GET => self.read(id),
            (_, Some(id)) if method == Method::DELETE => self.hang_up(id),
            (_, Some(_)) => Err(Refusal::method("GET, DELETE")),
            _ => Err(Refusal::not_found("no such resource")),
        };
        Answer::Reply(reply.unwrap_or_else(Refusal::into_reply))
    }

    fn admit(&self, received: &Received) -> Result<(), Refusal> {
        let account = self.account.read().unwrap_or_else(PoisonError::into_inner);
        let admitted = account.admit(received.peer, &received.parts.headers, &received.body);
        drop(account);
        let mut state = self.state();
        let tally = &mut state.tally;
        tally.requests += 1;
        match &admitted {
            Ok(signed) => tally.signatures_verified += u64::from(*signed),
            Err(Denial::ApiKey) => tally.unauthorized += 1,
            Err(Denial::Signature) => tally.signatures_refused += 1,
            Err(Denial::Network) => {}
        }
        admitted.map(drop).map_err(|denial| denial.refusal())
    }

    async fn pause(&self, wait: Duration) {
        if let Some(until) = self.clock.now().checked_add(wait).filter(|_| !wait.is_zero()) {
            self.clock.sleep_until(until).await;
        }
    }

    fn read(&self, id: &str) -> Result<Reply, Refusal> {
        let state = self.state();
        let call = state.calls.get(id).ok_or_else(|| Refusal::not_found("no such call"))?;
        Ok(json(StatusCode::OK, &self.view(call, self.clock.now())))
    }

    fn hang_up(&self, id: &str) -> Result<Reply, Refusal> {
        let now = self.clock.now();
        let mut state = self.state();
        let hung_up = state.calls.hang_up(id, &self.manners.life, now);
        let index = hung_up.ok_or_else(|| Refusal::not_found("no such call"))?;
        self.ring_bell(&mut state, index, now);
        drop(state);
        self.read(id)
    }

    fn list(&self, query: &str) -> Result<Reply, Refusal> {
        let query = Query::parse(query)?;
        let now = self.clock.now();
        let state = self.state();
        let (calls, more) = state.calls.page(&query, self.manners.listing_lag, now)?;
        let data = calls.iter().map(|call| self.view(call, now)).collect();
        Ok(json(StatusCode::OK, &PageView::new(data, more, &calls)))
    }

    fn view<'a>(&self, call: &'a Call, now: Instant) -> CallView<'a> {
        let view = CallView::new(call, call.progress(&self.manners.life, now));
        if self.manners.shows_keys { view } else { view.without_key() }
    }
}

//! An attempt through a client whose IO is not ours: the body's gate is the evidence.

#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Body;
use trunkline_core_types::{
    Attempt, AttemptError, Class, Clock, ClockExt, Evidence, FailureKind, InputError, Judge, Operation,
    Origin, Outcome, Progress, Reply, class_of_reply,
};

use crate::gate_body::{Gate, Passage};
use crate::http_client::too_late;
use crate::{GateBody, TransportSettings};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The longest request head. HTTP/1.1 clients buffer a head until they ask for the body, but only up to some bound.
const MAX_HEAD: usize = 64 << 10;

/// Why a foreign client gave no head.
pub(crate) struct Failure {
    pub(crate) error: AttemptError,
    /// The client says for certain that no connection was given to the request.
    pub(crate) unconnected: bool,
}

impl Failure {
    pub(crate) fn open(error: AttemptError) -> Self {
        Self { error, unconnected: false }
    }
}

pub(crate) struct Foreign {
    origin: Origin,
    host: HeaderValue,
    settings: TransportSettings,
    judge: Arc<dyn Judge>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the client is known to ask for the body before it writes the head, as HTTP/1.1 clients do.
    body_first: bool,
}

impl Foreign {
    pub(crate) fn new(
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
        body_first: bool,
    ) -> Result<Self, InputError> {
        settings.check()?;
        let host = HeaderValue::from_str(&origin.authority()).map_err(|_| {
            InputError::new("base_url", "the host cannot be written in a header; use its ASCII form")
        })?;
        Ok(Self { origin, host, settings, judge, clock, body_first })
    }

    /// Hands the request over with `call` and tells what came of it.
    pub(crate) async fn exchange<F, B>(
        &self,
        mut attempt: Attempt,
        call: impl FnOnce(Request<GateBody>) -> F + Send,
    ) -> Outcome
    where
        F: Future<Output = Result<Response<B>, Failure>> + Send,
        B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send,
    {
        let request = match self.prepare(attempt.take_request()) {
            Ok(request) => request,
            Err(error) => return Outcome::unsent(error),
        };
        if let Some(refusal) = too_late(&attempt, self.clock.now()) {
            return Outcome::unsent(refusal);
        }
        let (operation, ends_by) = (attempt.operation(), attempt.deadline().ends_by());
        let (head, body) = request.into_parts();
        let empty = body.is_empty();
        let (gate, body) = GateBody::new(body, self.clock.clone(), attempt.start_by());
        let handed = Handed::new(gate, attempt.evidence(), !empty && self.body_first);
        match self.head(&handed, empty, ends_by, call(Request::from_parts(head, body))).await {
            Ok(response) => self.reply(handed, response, operation, ends_by).await,
            Err(mut failure) => {
                // An unknown client may have sent a bodiless request and lost the next connection of a redirect.
                failure.unconnected &= self.body_first || !empty;
                handed.without_head(failure)
            }
        }
    }

    async fn reply<B>(
        &self,
        mut handed: Handed<'_>,
        response: Response<B>,
        operation: Operation,
        ends_by: Instant,
    ) -> Outcome
    where
        B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send,
    {
        handed.evidence.reached(Progress::Head);
        if response.status().is_success() {
            handed.accepted();
        }
        let (head, body) = response.into_parts();
        let (body, failure) = self.read(body, ends_by).await;
        let verdict = self.judge.judge(operation, head.status, &head.headers, &body);
        let (class, wait) = class_of_reply(head.status, verdict);
        if failure.is_none() {
            handed.evidence.reached(Progress::Complete);
        }
        if class != Class::Accepted {
            // A client that answered before it asked for the body must not send it after the verdict.
            handed.gate.shut();
        }
        handed.settle(class);
        let result = match failure {
            None => Ok(Reply::new(Response::from_parts(head, body))),
            Some(error) => Err(error.with_status(head.status)),
        };
        Outcome::new(class, result).after(wait)
    }

    fn prepare(&self, mut request: Request<Bytes>) -> Result<Request<Bytes>, AttemptError> {
        let refused = |message: &str| Err(AttemptError::new(FailureKind::Request, message));
        if !self.origin.serves(request.uri()) {
            return refused("the URL goes to another origin than this client's; nothing was sent");
        }
        request.headers_mut().insert(HOST, self.host.clone());
        let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let path = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
        if path + headers.sum::<usize>() > MAX_HEAD {
            return refused("URL and headers are above 64 KiB together; nothing was sent");
        }
        Ok(request)
    }

    /// The connect time runs until the client asks for the body, the read time from there.
    async fn head<F, B>(
        &self,
        handed: &Handed<'_>,
        empty: bool,
        ends_by: Instant,
        call: F,
    ) -> Result<Response<B>, Failure>
    where
        F: Future<Output = Result<Response<B>, Failure>> + Send,
    {
        let timeout = |message: &str| Err(Failure::open(AttemptError::new(FailureKind::Timeout, message)));
        let mut call = pin!(call);
        let mut until = ends_by.min(self.clock.now() + self.settings.connect_timeout);
        // When the client asks for an empty body cannot be seen: it has the connect time for that.
        let unseen = empty.then_some(until);
        loop {
            if let Some(done) = self.clock.bounded(until, call.as_mut()).await {
                return done;
            }
            let Some(opened) = unseen.or_else(|| handed.gate.opened_or_shut()) else {
                return timeout("the client began no request in time; nothing was sent");
            };
            let next = ends_by.min(opened + self.settings.read_timeout);
            if next <= until {
                return timeout("no reply in time");
            }
            until = next;
        }
    }

    /// The body, or what came of it before it failed.
    async fn read<B>(&self, body: B, ends_by: Instant) -> (Bytes, Option<AttemptError>)
    where
        B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send,
    {
        let (mut body, mut read, max) = (pin!(body), Read::default(), self.settings.max_reply);
        let failure = loop {
            let until = ends_by.min(self.clock.now() + self.settings.read_timeout);
            let frame = match self.clock.bounded(until, body.as_mut().frame()).await {
                None => {
                    break Some(AttemptError::new(
                        FailureKind::Timeout,
                        "the reply's body did not end in time",
                    ));
                }
                Some(None) => break None,
                Some(Some(Err(error))) => {
                    let message = "the reply's body ended early";
                    break Some(
                        AttemptError::new(FailureKind::Truncated, message).with_source(Cause(error.into())),
                    );
                }
                Some(Some(Ok(frame))) => frame,
            };
            let Ok(mut data) = frame.into_data() else { continue };
            if read.len() + data.remaining() > max {
                let message = format!("the reply's body is above {max} bytes (max_reply)");
                break Some(AttemptError::new(FailureKind::ReplyTooLarge, message));
            }
            read.push(data.copy_to_bytes(data.remaining()));
        };
        (read.collected(), failure)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

/// Most replies are one frame and are not copied.
#[derive(Default)]
struct Read {
    first: Bytes,
    rest: BytesMut,
}

impl Read {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, data: Bytes) {
        match self.first.is_empty() {
            true => self.first = data,
            false => self.rest.extend_from_slice(&data),
        }
    }

    fn collected(self) -> Bytes {
        match self.rest.is_empty() {
            true => self.first,
            false => [&self.first[..], &self.rest[..]].concat().into(),
        }
    }
}

/// A request in foreign hands. Giving it up shuts the gate first and reads then, also in its drop.
struct Handed<'a> {
    gate: Arc<Gate>,
    evidence: &'a Evidence,
    /// A gate that was never opened proves that nothing left.
    provable: bool,
    accepted: bool,
    settled: bool,
}

impl<'a> Handed<'a> {
    fn new(gate: Arc<Gate>, evidence: &'a Evidence, provable: bool) -> Self {
        evidence.live();
        Self { gate, evidence, provable, accepted: false, settled: false }
    }

    /// A 2xx head came: final, whatever happens to the rest.
    fn accepted(&mut self) {
        self.accepted = true;
    }

    fn settle(&mut self, class: Class) {
        self.settled = true;
        self.evidence.settle(class);
    }

    fn without_head(mut self, failure: Failure) -> Outcome {
        let (class, passage) = self.give_up(failure.unconnected);
        let error = match (passage, class) {
            (Passage::Late, Class::Unsent) => {
                let message = "connecting took longer than the permit's tolerance; this client cannot connect ahead, so \
                               allow a tolerance above its connect time";
                AttemptError::new(FailureKind::LatePermit, message).with_source(failure.error)
            }
            _ => failure.error,
        };
        Outcome::new(class, Err(error))
    }

    fn give_up(&mut self, unconnected: bool) -> (Class, Passage) {
        let passage = self.gate.shut();
        if passage == Passage::Opened {
            // How much of it left is not known; something may have.
            self.evidence.reached(Progress::Part);
        }
        let class = match passage {
            _ if self.accepted => Class::Accepted,
            Passage::Opened => Class::Ambiguous,
            Passage::Shut | Passage::Late if self.provable || unconnected => Class::Unsent,
            Passage::Shut | Passage::Late => Class::Ambiguous,
        };
        self.settle(class);
        (class, passage)
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.give_up(false);
        }
    }
}

/// A boxed cause as an error of its own.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Cause(pub(crate) BoxError);

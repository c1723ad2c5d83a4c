//! One request and its reply over one live connection, and the evidence of both.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::{Body, Incoming};
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, Evidence, FailureKind, Judge, Operation, Outcome,
    Progress, Reply, class_of_reply,
};

use super::io::Written;
use super::pool::Live;
use crate::TransportSettings;

pub(super) struct Exchange<'a> {
    pub(super) judge: &'a dyn Judge,
    pub(super) clock: &'a dyn Clock,
    pub(super) settings: &'a TransportSettings,
    pub(super) host: &'a HeaderValue,
    pub(super) operation: Operation,
    /// When the connection was handed out.
    pub(super) began: Instant,
    pub(super) ends_by: Instant,
    pub(super) reused: bool,
}

impl Exchange<'_> {
    /// Sends and receives. Gives the connection back where another request may follow on it.
    pub(super) async fn run(self, mut live: Live, attempt: &mut Attempt) -> (Outcome, Option<Live>) {
        let mut timer = Timer::new(&self, live.alarm.take());
        let request = origin_form(attempt.take_request(), self.host);
        let evidence = attempt.evidence();
        let (mut held, response) = Held::start(live, evidence, request);
        let response = match self.head(&mut held, &mut timer, pin!(response)).await {
            Ok(response) => response,
            Err(failure) => return (self.without_head(held, failure), None),
        };
        evidence.reached(Progress::Head);
        if response.status().is_success() {
            held.accepted();
        }
        timer.restart();
        let (head, body) = response.into_parts();
        let (body, failure) = read_body(&mut held, &mut timer, body, self.settings.max_reply).await;
        let verdict = self.judge.judge(self.operation, head.status, &head.headers, &body);
        let (class, wait) = class_of_reply(head.status, verdict);
        #[cfg(trunkline_mutation)]
        let class = match trunkline_core_types::Mutation::BrokenReplyRepeats.is_on() && failure.is_some() {
            true => Class::Deferred,
            false => class,
        };
        let mut live = held.settle(class, failure.is_none());
        if let Some(live) = &mut live {
            live.alarm = timer.alarm;
        }
        let result = match failure {
            None => Ok(Reply::new(Response::from_parts(head, body))),
            Some(error) => Err(error.with_status(head.status)),
        };
        (Outcome::new(class, result).after(wait), live)
    }

    async fn head(
        &self,
        held: &mut Held<'_>,
        timer: &mut Timer<'_>,
        mut response: Pin<&mut impl Future<Output = hyper::Result<Response<Incoming>>>>,
    ) -> Result<Response<Incoming>, Failure> {
        let (evidence, base) = (held.evidence, held.base);
        let Some(live) = &mut held.live else { return Err(Failure::of(FailureKind::Connection)) };
        poll_fn(|cx| {
            let ended = live.poll_ended(cx);
            evidence.reached(written(&live.written, base));
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(done.map_err(Failure::from));
            }
            if ended {
                return Poll::Ready(Err(Failure::of(FailureKind::Connection)));
            }
            timer.poll(cx).map(|()| Err(Failure::of(FailureKind::Timeout)))
        })
        .await
    }

    /// No head came: the bytes that the connection wrote decide.
    fn without_head(&self, mut held: Held<'_>, mut failure: Failure) -> Outcome {
        let class = held.give_up();
        if class == Class::Unsent && self.reused && failure.kind == FailureKind::Connection {
            failure.kind = FailureKind::StaleConnection;
        }
        Outcome::new(class, Err(failure.after(held.evidence.progress())))
    }
}

/// An absolute URL in origin form with a `Host` header, as HTTP/1.1 sends it.
fn origin_form(mut request: Request<Bytes>, host: &HeaderValue) -> Request<Bytes> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    request.headers_mut().insert(HOST, host.clone());
    request
}

/// Why no head came.
struct Failure {
    kind: FailureKind,
    source: Option<hyper::Error>,
}

impl Failure {
    fn of(kind: FailureKind) -> Self {
        Self { kind, source: None }
    }

    /// The error, with how far the request got.
    fn after(self, progress: Progress) -> AttemptError {
        let what = match self.kind {
            FailureKind::StaleConnection => "the server had closed the pooled connection",
            FailureKind::Timeout => "no reply in time",
            FailureKind::Protocol => "the reply is not HTTP/1.1, or its head is above max_head",
            _ => "the connection broke before a reply",
        };
        let sent = match progress {
            Progress::Waiting | Progress::Connected => "nothing was sent",
            Progress::Part => "the request was sent in part",
            Progress::Whole | Progress::Head | Progress::Complete => "the request was sent",
        };
        let error = AttemptError::new(self.kind, format!("{what}; {sent}"));
        self.source.map_or(error.clone(), |source| error.with_source(source))
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        let kind = if error.is_parse() { FailureKind::Protocol } else { FailureKind::Connection };
        Self { kind, source: Some(error) }
    }
}

/// How far the writing of a request got that began at `base`.
fn written(written: &Written, base: u64) -> Progress {
    match (written.get() == base, written.is_stuck()) {
        (true, _) => Progress::Connected,
        (false, true) => Progress::Part,
        (false, false) => Progress::Whole,
    }
}

/// The body, or what came of it before it failed.
async fn read_body(
    held: &mut Held<'_>,
    timer: &mut Timer<'_>,
    body: Incoming,
    max: usize,
) -> (Bytes, Option<AttemptError>) {
    let mut reading = Reading { body, first: Bytes::new(), rest: BytesMut::new(), max };
    let Some(live) = &mut held.live else { return (Bytes::new(), Some(truncated())) };
    let failure = poll_fn(|cx| {
        loop {
            let mut step = reading.poll(cx);
            let mut ended = live.ended;
            if step.is_pending() {
                ended = live.poll_ended(cx);
                // The connection may just have brought what the body waits for, and that wake is spent.
                step = reading.poll(cx);
            }
            match step {
                Poll::Ready(Step::Data) => timer.restart(),
                Poll::Ready(Step::End(failure)) => return Poll::Ready(failure),
                Poll::Pending if ended => return Poll::Ready(Some(truncated())),
                Poll::Pending => {
                    let late = || {
                        Some(AttemptError::new(FailureKind::Timeout, "the reply's body did not end in time"))
                    };
                    return timer.poll(cx).map(|()| late());
                }
            }
        }
    })
    .await;
    (reading.collected(), failure)
}

struct Reading {
    body: Incoming,
    /// Most replies are one frame and are not copied.
    first: Bytes,
    rest: BytesMut,
    max: usize,
}

enum Step {
    Data,
    End(Option<AttemptError>),
}

impl Reading {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(Step::End(None)),
            Some(Err(error)) => return Poll::Ready(Step::End(Some(truncated().with_source(error)))),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { return Poll::Ready(Step::Data) };
        if self.first.len() + self.rest.len() + data.len() > self.max {
            let message = format!("the reply's body is above {} bytes (max_reply)", self.max);
            return Poll::Ready(Step::End(Some(AttemptError::new(FailureKind::ReplyTooLarge, message))));
        }
        if self.first.is_empty() {
            self.first = data;
        } else {
            self.rest.extend_from_slice(&data);
        }
        Poll::Ready(Step::Data)
    }

    fn collected(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.first.len() + self.rest.len());
        whole.extend_from_slice(&self.first);
        whole.extend_from_slice(&self.rest);
        whole.freeze()
    }
}

/// Owns the connection while bytes of the attempt may leave. Its drop closes the socket first and reports then, so that nothing leaves
/// after the report.
struct Held<'a> {
    live: Option<Live>,
    evidence: &'a Evidence,
    base: u64,
    accepted: bool,
}

impl<'a> Held<'a> {
    /// Hands the request to the connection, which writes it once it is polled.
    fn start(
        mut live: Live,
        evidence: &'a Evidence,
        request: Request<Bytes>,
    ) -> (Self, impl Future<Output = hyper::Result<Response<Incoming>>> + use<>) {
        let base = live.written.get();
        evidence.live();
        let response = live.sender.send_request(request.map(Into::into));
        (Self { live: Some(live), evidence, base, accepted: false }, response)
    }

    /// A 2xx head came: final, whatever happens to the rest.
    fn accepted(&mut self) {
        self.accepted = true;
        self.evidence.settle(Class::Accepted);
    }

    /// The reply decided. The connection is given back if the reply was complete, and with it the request: what a reply overtook must
    /// not leave later.
    fn settle(mut self, class: Class, complete: bool) -> Option<Live> {
        if complete {
            self.evidence.reached(Progress::Complete);
        }
        let is_stuck = |live: &Live| live.written.is_stuck();
        #[cfg(trunkline_mutation)]
        let is_stuck = |live: &Live| is_stuck(live) && !trunkline_core_types::Mutation::StuckPooled.is_on();
        let kept = self.live.take().and_then(|live| match complete && !is_stuck(&live) {
            true => Some(live),
            false => {
                live.abort();
                None
            }
        });
        self.evidence.settle(class);
        kept
    }

    fn give_up(&mut self) -> Class {
        let Some(live) = self.live.take() else { return self.evidence.class() };
        let count = live.written.clone();
        #[cfg(not(trunkline_mutation))]
        let bytes = live.abort();
        #[cfg(trunkline_mutation)]
        let bytes = live.given_up();
        let same = bytes == self.base;
        #[cfg(trunkline_mutation)]
        let same = same || trunkline_core_types::Mutation::BrokenIsUnsent.is_on();
        let class = match (self.accepted, same) {
            (true, _) => Class::Accepted,
            (false, true) => Class::Unsent,
            (false, false) => Class::Ambiguous,
        };
        self.evidence.reached(written(&count, self.base));
        self.evidence.settle(class);
        class
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A timer that a connection keeps from one attempt to the next: most replies come long before it, so few are ever armed.
pub(super) struct Alarm {
    at: Instant,
    fires: BoxFuture<'static, ()>,
}

/// The attempt's one timer: the earliest of the read time and the deadline, armed only once something waits.
struct Timer<'a> {
    clock: &'a dyn Clock,
    /// Since when the server may be silent; read from the clock once something came of it.
    since: Option<Instant>,
    ends_by: Instant,
    read_timeout: std::time::Duration,
    alarm: Option<Alarm>,
}

impl<'a> Timer<'a> {
    fn new(exchange: &Exchange<'a>, alarm: Option<Alarm>) -> Self {
        let (since, ends_by) = (Some(exchange.began), exchange.ends_by);
        let read_timeout = exchange.settings.read_timeout;
        Self { clock: exchange.clock, since, ends_by, read_timeout, alarm }
    }

    fn restart(&mut self) {
        self.since = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(trunkline_mutation)]
        if trunkline_core_types::Mutation::ReplyIgnoresDeadline.is_on() {
            self.ends_by += self.read_timeout;
        }
        let since = *self.since.get_or_insert_with(|| self.clock.now());
        let due = self.ends_by.min(since + self.read_timeout);
        loop {
            // One for an earlier moment serves until then.
            if self.alarm.as_ref().is_none_or(|alarm| alarm.at > due) {
                self.alarm = Some(Alarm { at: due, fires: self.clock.sleep_until(due) });
            }
            let Some(alarm) = &mut self.alarm else { return Poll::Pending };
            ready!(alarm.fires.as_mut().poll(cx));
            let is_due = alarm.at >= due;
            self.alarm = None;
            if is_due {
                return Poll::Ready(());
            }
        }
    }
}

fn truncated() -> AttemptError {
    AttemptError::new(FailureKind::Truncated, "the reply's body ended early")
}

//! One request and its reply over one live connection, and the evidence of both.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::task::unconstrained;
use trunkline_core_types::{
    Attempt, AttemptError, Class, FailureKind, Outcome, Progress, Reply, class_of_reply,
};

use super::HttpClient;
use super::io::Written;
use super::pool::Live;
use super::reading::{Reading, Step, truncated};
use super::timer::Timer;

/// One request and its reply. Owns the connection while bytes of the attempt may leave: its drop closes the socket first and reports
/// then, so that nothing leaves after the report.
pub(super) struct Exchange<'a> {
    client: &'a HttpClient,
    attempt: &'a Attempt,
    live: Option<Box<Live>>,
    /// What the connection had written when it was handed out.
    base: u64,
    reused: bool,
    accepted: bool,
    timer: Timer,
}

impl<'a> Exchange<'a> {
    /// Hands the request to the connection, which was handed out at `began` and writes it once it is polled.
    pub(super) fn start(
        client: &'a HttpClient,
        attempt: &'a Attempt,
        request: Request<Bytes>,
        mut live: Box<Live>,
        began: Instant,
    ) -> (Self, impl Future<Output = hyper::Result<Response<Incoming>>> + use<>) {
        let (base, reused) = (live.written.get(), live.pooled);
        attempt.evidence().live();
        let response = live.sender.send_request(request.map(Into::into));
        let timer = Timer::new(began, attempt.deadline().ends_by());
        (Self { client, attempt, live: Some(live), base, reused, accepted: false, timer }, response)
    }

    /// Sends and receives. Gives the connection back where another request may follow on it.
    pub(super) async fn run(
        &mut self,
        mut response: Pin<&mut impl Future<Output = hyper::Result<Response<Incoming>>>>,
    ) -> (Outcome, Option<Box<Live>>) {
        let response = match poll_fn(|cx| self.poll_head(cx, response.as_mut())).await {
            Ok(response) => response,
            Err(failure) => return (self.without_head(failure), None),
        };
        self.attempt.evidence().reached(Progress::Head);
        if response.status().is_success() {
            self.accepted();
        }
        self.timer.restart();
        let (head, body) = response.into_parts();
        let mut reading = Reading::new(body, self.client.settings.max_reply);
        let failure = poll_fn(|cx| self.poll_body(cx, &mut reading)).await;
        let body = reading.collected();
        let verdict = self.client.judge.judge(self.attempt.operation(), head.status, &head.headers, &body);
        let (class, wait) = class_of_reply(head.status, verdict);
        #[cfg(trunkline_mutation)]
        let class = match trunkline_core_types::Mutation::BrokenReplyRepeats.is_on() && failure.is_some() {
            true => Class::Deferred,
            false => class,
        };
        let live = self.settle(class, failure.is_none());
        let result = match failure {
            None => Ok(Reply::new(Response::from_parts(head, body))),
            Some(error) => Err(error.with_status(head.status)),
        };
        (Outcome::new(class, result).after(wait), live)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        response: Pin<&mut impl Future<Output = hyper::Result<Response<Incoming>>>>,
    ) -> Poll<Result<Response<Incoming>, Failure>> {
        let broken = || Poll::Ready(Err(Failure::of(FailureKind::Connection)));
        let Some(live) = &mut self.live else { return broken() };
        let ended = match live.written.get() == self.base {
            // The permit was checked in this poll; until another one, tasks run for as long as they like.
            true => live.poll_ended_at_once(cx),
            false => live.poll_ended(cx),
        };
        // Outside of tokio's budget: a connection that ended has said in there why, and a 2xx must not be taken for a break.
        if let Poll::Ready(done) = pin!(unconstrained(response)).poll(cx) {
            return Poll::Ready(done.map_err(Failure::from));
        }
        self.attempt.evidence().reached(written(&live.written, self.base));
        if ended {
            return broken();
        }
        if live.written.has_resumed() {
            self.timer.restart();
        }
        let fired = self.timer.poll(cx, self.client, &mut live.alarm);
        fired.map(|()| Err(Failure::of(FailureKind::Timeout)))
    }

    /// Reads the body to its end; what came of it is in `reading`, also where it failed.
    fn poll_body(&mut self, cx: &mut Context<'_>, reading: &mut Reading) -> Poll<Option<AttemptError>> {
        let Some(live) = &mut self.live else { return Poll::Ready(Some(truncated())) };
        loop {
            let mut step = reading.poll(cx);
            let mut ended = live.ended;
            if step.is_pending() {
                ended = live.poll_ended(cx);
                // The connection may just have brought what the body waits for, and that wake is spent.
                step = reading.poll(cx);
            }
            match step {
                Poll::Ready(Step::Data) => self.timer.restart(),
                Poll::Ready(Step::End(failure)) => return Poll::Ready(failure),
                Poll::Pending if ended => return Poll::Ready(Some(truncated())),
                Poll::Pending => {
                    let late = || {
                        Some(AttemptError::new(FailureKind::Timeout, "the reply's body did not end in time"))
                    };
                    return self.timer.poll(cx, self.client, &mut live.alarm).map(|()| late());
                }
            }
        }
    }

    /// A 2xx head came: final, whatever happens to the rest.
    fn accepted(&mut self) {
        self.accepted = true;
        self.attempt.evidence().settle(Class::Accepted);
    }

    /// The reply decided. The connection is given back if the reply was complete, and with it the request: what a reply overtook must
    /// not leave later.
    fn settle(&mut self, class: Class, complete: bool) -> Option<Box<Live>> {
        if complete {
            self.attempt.evidence().reached(Progress::Complete);
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
        self.attempt.evidence().settle(class);
        kept
    }

    /// No head came: the bytes that the connection wrote decide.
    fn without_head(&mut self, mut failure: Failure) -> Outcome {
        let class = self.give_up();
        if class == Class::Unsent && self.reused && failure.kind == FailureKind::Connection {
            failure.kind = FailureKind::StaleConnection;
        }
        Outcome::new(class, Err(failure.after(self.attempt.evidence().progress())))
    }

    fn give_up(&mut self) -> Class {
        let evidence = self.attempt.evidence();
        let Some(live) = self.live.take() else { return evidence.class() };
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
        evidence.reached(written(&count, self.base));
        evidence.settle(class);
        class
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Turns an absolute URL into origin form with a `Host` header, as HTTP/1.1 sends it.
pub(super) fn to_origin_form(request: &mut Request<Bytes>, host: &HeaderValue) {
    let absolute = std::mem::take(request.uri_mut());
    if let Some(path) = absolute.into_parts().path_and_query {
        *request.uri_mut() = path.into();
    }
    request.headers_mut().insert(HOST, host.clone());
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

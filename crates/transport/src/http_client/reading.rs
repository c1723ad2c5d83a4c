//! A reply's body as it comes in, and its end or what it failed with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use trunkline_core_types::{AttemptError, FailureKind};

pub(super) struct Reading {
    body: Incoming,
    /// Most replies are one frame and are not copied.
    first: Bytes,
    rest: BytesMut,
    max: usize,
}

pub(super) enum Step {
    Data,
    End(Option<AttemptError>),
}

impl Reading {
    pub(super) fn new(body: Incoming, max: usize) -> Self {
        Self { body, first: Bytes::new(), rest: BytesMut::new(), max }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
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
        if self.body.is_end_stream() {
            return Poll::Ready(Step::End(None));
        }
        Poll::Ready(Step::Data)
    }

    pub(super) fn collected(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.first.len() + self.rest.len());
        whole.extend_from_slice(&self.first);
        whole.extend_from_slice(&self.rest);
        whole.freeze()
    }
}

pub(super) fn truncated() -> AttemptError {
    AttemptError::new(FailureKind::Truncated, "the reply's body ended early")
}

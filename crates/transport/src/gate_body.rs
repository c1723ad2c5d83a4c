//! A request body that is the gate between an attempt and a client whose IO is not ours.
//!
//! The client may write once it has asked for the body, and whoever gives the attempt up may call it unsent as long as it has not. Both
//! step through one compare-and-swap, on whatever thread they are, so only one of them wins.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use trunkline_core_types::Clock;

use crate::sync::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const OPENED: u8 = 1;
const SHUT: u8 = 2;
const LATE: u8 = 3;

/// What came of a gate once nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// The client asked for the body: bytes may have left.
    Opened,
    /// It did not, and cannot any more.
    Shut,
    /// It asked after the permit had become too old, and got nothing.
    Late,
}

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicU8,
    opened: OnceLock<Instant>,
}

impl Gate {
    /// The giver-up's step: from now on the body is not handed out, unless it was.
    pub(crate) fn shut(&self) -> Passage {
        match self.step(SHUT) {
            Ok(_) | Err(SHUT) => Passage::Shut,
            Err(LATE) => Passage::Late,
            Err(_) => Passage::Opened,
        }
    }

    /// The same step for one who waits on where the client has asked for the body: since when it has that.
    pub(crate) fn opened_or_shut(&self) -> Option<Instant> {
        (self.shut() == Passage::Opened).then(|| self.opened.get().copied()).flatten()
    }

    /// The writer's step.
    fn open(&self, now: Instant, start_by: Option<Instant>) -> bool {
        if start_by.is_some_and(|start_by| now > start_by) {
            // Lost means shut already; refused either way.
            let _ = self.step(LATE);
            return false;
        }
        let _ = self.opened.set(now);
        self.step(OPENED).is_ok()
    }

    fn step(&self, to: u8) -> Result<u8, u8> {
        self.state.compare_exchange(IDLE, to, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// The body of a request that goes through somebody else's client. It cannot be cloned, so no layer can send it twice.
///
/// Its first poll is the moment after which the request counts as sent; a client given up before gets an error there instead of the
/// bytes. Its length is exact, so `Content-Length` is sent. An empty body is never asked for, which makes the hand-over that moment.
pub struct GateBody {
    gate: Arc<Gate>,
    data: Option<Bytes>,
    clock: Arc<dyn Clock>,
    start_by: Option<Instant>,
}

impl GateBody {
    pub(crate) fn new(data: Bytes, clock: Arc<dyn Clock>, start_by: Option<Instant>) -> (Arc<Gate>, Self) {
        let gate = Arc::new(Gate::default());
        let data = (!data.is_empty()).then_some(data);
        (gate.clone(), Self { gate, data, clock, start_by })
    }
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = GateShut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GateShut>>> {
        let this = self.get_mut();
        let Some(data) = this.data.take() else { return Poll::Ready(None) };
        match this.gate.open(this.clock.now(), this.start_by) {
            true => Poll::Ready(Some(Ok(Frame::data(data)))),
            false => Poll::Ready(Some(Err(GateShut {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64)
    }
}

impl fmt::Debug for GateBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateBody")
            .field("bytes", &self.data.as_ref().map_or(0, Bytes::len))
            .finish_non_exhaustive()
    }
}

/// The body was asked for after its request had been given up or its permit had become too old; nothing of it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was given up before its first byte; nothing of it is sent")]
#[non_exhaustive]
pub struct GateShut {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use std::time::Duration;
    use trunkline_core_types::SystemClock;

    type Polled = Poll<Option<Result<Frame<Bytes>, GateShut>>>;

    fn body(start_by: Option<Instant>) -> (Arc<Gate>, GateBody) {
        GateBody::new(Bytes::from_static(b"pay"), Arc::new(SystemClock::new()), start_by)
    }

    fn poll(body: &mut GateBody) -> Polled {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_steps_first_wins() {
        let (gate, mut opened) = body(None);
        assert!(matches!(poll(&mut opened), Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        assert!(gate.opened_or_shut().is_some());
        assert_eq!(gate.shut(), Passage::Opened);
        assert!(matches!(poll(&mut opened), Poll::Ready(None)));

        let (gate, mut given_up) = body(None);
        assert_eq!((gate.shut(), gate.shut()), (Passage::Shut, Passage::Shut));
        assert!(matches!(poll(&mut given_up), Poll::Ready(Some(Err(GateShut {})))));
        assert_eq!((gate.shut(), gate.opened_or_shut()), (Passage::Shut, None));
    }

    #[test]
    fn a_late_permit_hands_out_nothing() {
        let now = SystemClock::new().now();
        let (gate, mut late) = body(now.checked_sub(Duration::from_millis(1)));
        assert!(matches!(poll(&mut late), Poll::Ready(Some(Err(GateShut {})))));
        assert_eq!(gate.shut(), Passage::Late);
        let (gate, mut punctual) = body(Some(now + Duration::from_secs(60)));
        assert!(matches!(poll(&mut punctual), Poll::Ready(Some(Ok(_)))));
        assert_eq!(gate.shut(), Passage::Opened);
    }

    #[test]
    fn the_length_is_exact_and_debug_shows_no_body() {
        let (_, mut body) = body(None);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(format!("{body:?}"), "GateBody { bytes: 3, .. }");
        assert!(poll(&mut body).is_ready());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    }
}

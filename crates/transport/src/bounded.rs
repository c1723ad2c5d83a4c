//! A wait with an end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use trunkline_core_types::Clock;

/// Polls `work` until it is done or `until` has passed; `None` then, with `work` dropped.
pub(crate) async fn bounded<F: Future>(clock: &dyn Clock, until: Instant, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut timer = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        // Armed only once the work really waits: a ready one costs no timer.
        let timer = timer.get_or_insert_with(|| clock.sleep_until(until));
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

//! A wait that ends at a deadline of the injected clock.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use trunkline_core_types::Clock;

/// The work's result, or `None` if `at` came first. The work is polled first, so a result that is ready is never lost to the timer;
/// after a deadline that has passed nothing is started.
pub(crate) async fn within<T>(clock: &dyn Clock, at: Instant, work: impl Future<Output = T>) -> Option<T> {
    if clock.now() >= at {
        return None;
    }
    let mut work = pin!(work);
    let mut timer = clock.sleep_until(at);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

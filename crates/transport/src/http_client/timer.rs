//! The one timer of an attempt, kept by its connection.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use trunkline_core_types::BoxFuture;

use super::HttpClient;

/// A timer that a connection keeps from one attempt to the next: most replies come long before it, so few are ever armed.
pub(super) struct Alarm {
    at: Instant,
    fires: BoxFuture<'static, ()>,
}

/// The attempt's one timer: the earliest of the read time and the deadline, armed only once something waits.
pub(super) struct Timer {
    /// Since when the server may be silent; read from the clock once something came of it.
    since: Option<Instant>,
    ends_by: Instant,
}

impl Timer {
    pub(super) fn new(began: Instant, ends_by: Instant) -> Self {
        Self { since: Some(began), ends_by }
    }

    /// Something came, or left after it was held up: the server may be silent anew.
    pub(super) fn restart(&mut self) {
        self.since = None;
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &HttpClient,
        alarm: &mut Option<Alarm>,
    ) -> Poll<()> {
        let (clock, read_timeout) = (&client.clock, client.settings.read_timeout);
        #[cfg(trunkline_mutation)]
        if trunkline_core_types::Mutation::ReplyIgnoresDeadline.is_on() {
            self.ends_by += read_timeout;
        }
        let due = self.ends_by.min(*self.since.get_or_insert_with(|| clock.now()) + read_timeout);
        loop {
            // One for an earlier moment serves until then.
            let set = match alarm {
                Some(set) if set.at <= due => set,
                _ => alarm.insert(Alarm { at: due, fires: clock.sleep_until(due) }),
            };
            ready!(set.fires.as_mut().poll(cx));
            let is_due = set.at >= due;
            *alarm = None;
            if is_due {
                return Poll::Ready(());
            }
        }
    }
}

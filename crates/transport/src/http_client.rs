//! The leaf of a stack: an HTTP/1.1 client whose attempts drive their own connections, so that giving up is dropping.

mod connect;
mod exchange;
mod io;
mod pool;
mod reading;
mod timer;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::HeaderValue;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Clock, Deadline, FailureKind, HttpService, InputError, Judge, Origin,
    Outcome,
};

use crate::ready::nothing_to_do;
use crate::{Dial, TcpDial, TransportSettings};
use connect::Connector;
use exchange::{Exchange, to_origin_form};
use pool::{Live, Pool};

/// Sends attempts to one origin over HTTP/1.1 and tells by the bytes written what is known of each.
///
/// The rule: no byte of this connection since it was handed out is `Unsent`, also at a timeout; any byte is `Ambiguous` until a head
/// arrives; a 2xx head is `Accepted`. After a verdict nothing of the attempt leaves: the socket is reset. Redirects are not followed,
/// nothing is repeated, no task is spawned. It may be shared by several runtimes: each takes only connections again that it made.
pub struct HttpClient {
    connector: Connector,
    pool: Pool,
    judge: Arc<dyn Judge>,
    clock: Arc<dyn Clock>,
    settings: TransportSettings,
    host: HeaderValue,
}

impl HttpClient {
    /// A client of `origin` over TCP, and TLS where the origin asks for it. `judge` knows the provider's documented refusals.
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn new(
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        let dial = Arc::new(TcpDial::with_clock(clock.clone()));
        Self::with_dial(origin, settings, judge, clock, dial)
    }

    /// The same over a dialler of the caller's.
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn with_dial(
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, InputError> {
        settings.check()?;
        let host = HeaderValue::from_str(&origin.authority()).map_err(|_| {
            InputError::new("base_url", "the host cannot be written in a header; use its ASCII form")
        })?;
        let connector = Connector::new(origin, dial, &settings, &clock)?;
        let pool = Pool::new(settings.max_idle, settings.idle_timeout, settings.reuse);
        Ok(Self { connector, pool, judge, clock, settings, host })
    }

    async fn attempt(&self, mut attempt: Attempt) -> Outcome {
        if let Some(refusal) = self.elsewhere(attempt.request()) {
            return Outcome::unsent(refusal);
        }
        let now = self.clock.now();
        let (live, now) = match self.pool.take(attempt.operation(), now) {
            Some(live) => (live, now),
            // Boxed, since it is large and most attempts find a connection.
            None => match Box::pin(self.connect(attempt.deadline().ends_by())).await {
                Ok(live) => (live, self.clock.now()),
                Err(error) => return Outcome::unsent(error),
            },
        };
        if let Some(refusal) = too_late(&attempt, now) {
            self.pool.put(live, now);
            return Outcome::unsent(refusal);
        }
        to_origin_form(attempt.request_mut(), &self.host);
        let request = attempt.take_request();
        let (mut exchange, response) = Exchange::start(self, &attempt, request, live, now);
        let (outcome, live) = exchange.run(pin!(response)).await;
        if let Some(mut live) = live {
            // From the hand-out and not from the reply: the server's idle time cannot have begun before, however late the reply is seen.
            (live.served, live.idle_since) = (true, now);
            self.pool.put(live, now);
        }
        outcome
    }

    async fn connect(&self, ends_by: std::time::Instant) -> Result<Box<Live>, AttemptError> {
        let until = ends_by.min(self.clock.now() + self.settings.connect_timeout);
        self.connector.connect(&*self.clock, until).await
    }

    fn elsewhere(&self, request: &Request<Bytes>) -> Option<AttemptError> {
        let message = "the URL goes to another origin than this client's; nothing was sent";
        let here = self.connector.origin().serves(request.uri());
        (!here).then(|| AttemptError::new(FailureKind::Request, message))
    }
}

pub(crate) fn too_late(attempt: &Attempt, now: std::time::Instant) -> Option<AttemptError> {
    let late = attempt.start_by().is_some_and(|start_by| now > start_by);
    #[cfg(trunkline_mutation)]
    let late = late && !trunkline_core_types::Mutation::LatePermit.is_on();
    if late {
        let message = "the permit was older than its tolerance before the first byte; a new one is needed";
        return Some(AttemptError::new(FailureKind::LatePermit, message));
    }
    let ended = matches!(attempt.deadline(), Deadline::At(at) if now >= at);
    ended.then(|| AttemptError::new(FailureKind::Timeout, "the deadline passed before the first byte"))
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for HttpClient {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(attempt))
    }

    fn warm<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, ()> {
        let now = self.clock.now();
        if self.pool.has_recent(attempt.operation(), now) {
            return nothing_to_do();
        }
        if let Some(live) = self.pool.take(attempt.operation(), now) {
            self.pool.put(live, now);
            return nothing_to_do();
        }
        Box::pin(async move {
            if let Ok(live) = self.connect(attempt.wait_until()).await {
                self.pool.put(live, self.clock.now());
            }
        })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("origin", self.connector.origin()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use trunkline_core_types::{StatusOnly, VirtualClock};

    #[test]
    fn an_attempt_s_future_stays_below_what_allocators_serve_fast() {
        let (origin, clock) = ("http://127.0.0.1:9".parse().unwrap(), Arc::new(VirtualClock::new()));
        let deadline = Deadline::At(clock.now() + Duration::from_secs(1));
        let judge = Arc::new(StatusOnly::default());
        let client = HttpClient::new(origin, TransportSettings::default(), judge, clock).unwrap();
        let future = client.attempt(Attempt::read(Request::default(), deadline));
        assert!(size_of_val(&future) <= 1_032, "{} bytes", size_of_val(&future));
    }
}

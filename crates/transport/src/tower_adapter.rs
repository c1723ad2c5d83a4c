//! tower both ways (feature `tower`): a user's service as the leaf, and a whole stack as a service.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Buf;
use http::{Request, Response};
use hyper::body::Body;
use tower_service::Service;
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Clock, ClockExt, FailureKind, HttpService, InputError, Judge, Origin,
    Outcome,
};

use crate::foreign::{BoxError, Cause, Failure, Foreign};
use crate::{GateBody, TransportSettings};

/// Sends attempts through a `tower` service of [`GateBody`] requests: an HTTP client with whatever layers you put around it.
///
/// The evidence is the body: `Unsent` means that the service never asked for it and cannot any more. This holds for every HTTP/1.1
/// client that asks for the body before it writes the head, as hyper and everything above it does. It does **not** hold over HTTP/2,
/// whose head may leave first, or for a layer that reads the whole body ahead (then everything after it is `Ambiguous`, the safe side).
/// A layer below the signer must leave alone what is signed. A request with an empty body is `Ambiguous` from its hand-over on.
/// Like every client whose socket is not ours, the service may still deliver what it took before the attempt was given up. `warm` does
/// nothing: under a limiter, allow a tolerance above the service's time to connect.
///
/// A layer of yours around the leaf, here one that adds a header:
///
/// ```
/// use std::sync::Arc;
/// use http::{HeaderValue, Request, Response, StatusCode};
/// use http_body_util::{BodyExt, Full};
/// use tower::{ServiceBuilder, service_fn};
/// use trunkline_core_types::{Attempt, Clock, Deadline, HttpService, Idempotency, StatusOnly, SystemClock};
/// use trunkline_transport::{GateBody, TowerService, TransportSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Stands for your HTTP client.
/// let client = service_fn(|request: Request<GateBody>| async move {
///     assert_eq!(request.headers()["x-tenant"], "blue");
///     let body = request.into_body().collect().await?.to_bytes();
///     Ok::<_, trunkline_transport::GateShut>(Response::new(Full::new(body)))
/// });
/// let layered = ServiceBuilder::new()
///     .map_request(|mut request: Request<GateBody>| {
///         request.headers_mut().insert("x-tenant", HeaderValue::from_static("blue"));
///         request
///     })
///     .service(client);
///
/// let clock = Arc::new(SystemClock::new());
/// let (origin, judge) = ("https://pay.example.com".parse()?, Arc::new(StatusOnly::default()));
/// let leaf = TowerService::new(layered, origin, TransportSettings::default(), judge, clock.clone())?;
/// let request = Request::post("https://pay.example.com/refunds").body("{}".into())?;
/// let deadline = Deadline::At(clock.now() + std::time::Duration::from_secs(5));
/// let outcome = leaf.send(Attempt::change(request, Idempotency::No, deadline)).await;
/// assert_eq!(outcome.status(), Some(StatusCode::OK));
/// # Ok(())
/// # }
/// ```
pub struct TowerService<S> {
    foreign: Foreign,
    /// Each attempt has a clone, as tower's readiness asks for; the lock makes services usable that are not `Sync`.
    service: Mutex<S>,
}

impl<S> TowerService<S> {
    /// A leaf for `origin` over `service`. Of `settings` its times and `max_reply` hold: the connect time until the service asks for
    /// the body, the read time from there.
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn new(
        service: S,
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        Ok(Self {
            foreign: Foreign::new(origin, settings, judge, clock, true)?,
            service: Mutex::new(service),
        })
    }

    async fn attempt<B>(&self, attempt: Attempt) -> Outcome
    where
        S: Service<Request<GateBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send,
        B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send,
    {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = poll_fn(|cx| service.poll_ready(cx).map_err(|error| Cause(error.into())));
        match self.foreign.clock.bounded(attempt.deadline().ends_by(), ready).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                let message = "the tower service is not ready and will not be; nothing was sent";
                return Outcome::unsent(AttemptError::new(FailureKind::Connect, message).with_source(error));
            }
            None => {
                let message = "the tower service was not ready in time; nothing was sent";
                return Outcome::unsent(AttemptError::new(FailureKind::Timeout, message));
            }
        }
        self.foreign
            .exchange(attempt, |request| {
                let response = service.call(request);
                async move { response.await.map_err(failure) }
            })
            .await
    }
}

fn failure<E: Into<BoxError>>(error: E) -> Failure {
    let message = "the tower service failed before a reply; see the cause";
    Failure::open(AttemptError::new(FailureKind::Connection, message).with_source(Cause(error.into())))
}

#[deny(clippy::missing_trait_methods)]
impl<S, B> HttpService for TowerService<S>
where
    S: Service<Request<GateBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send + 'static,
{
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(attempt))
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl<S> fmt::Debug for TowerService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerService").field("origin", &self.foreign).finish_non_exhaustive()
    }
}

/// A stack as a `tower` service from [`Attempt`] to [`Outcome`], for layers of yours around it. Never an error: an outcome says it all.
///
/// Always ready: the stack's own limiter does the waiting. A create cannot be cloned, so tower's retry and hedge layers have nothing
/// to repeat. Dropping the future gives the attempt up.
///
/// ```
/// # use std::sync::Arc;
/// # use trunkline_core_types::{Attempt, HttpService, Outcome};
/// use tower::{ServiceBuilder, ServiceExt};
/// use trunkline_transport::ServiceFor;
///
/// # async fn example(stack: Arc<dyn HttpService>, attempt: Attempt) -> Outcome {
/// let service = ServiceBuilder::new()
///     .map_request(|attempt: Attempt| attempt.numbered(7))
///     .service(ServiceFor(stack));
/// service.oneshot(attempt).await.unwrap_or_else(|never| match never {})
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServiceFor(pub Arc<dyn HttpService>);

impl Service<Attempt> for ServiceFor {
    type Response = Outcome;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Outcome, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let stack = self.0.clone();
        Box::pin(async move { Ok(stack.send(attempt).await) })
    }
}

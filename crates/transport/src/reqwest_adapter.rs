//! reqwest as the leaf of a stack (feature `reqwest`).

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use http::{Request, Response};
use reqwest::{Body, ClientBuilder, redirect, retry};
use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Clock, FailureKind, HttpService, InputError, Judge, Origin, Outcome,
};

use crate::foreign::{Failure, Foreign};
use crate::{GateBody, Reuse, TransportSettings, tls};

/// Sends attempts through a [`reqwest::Client`], for whoever has proxies, resolvers or connectors there already.
///
/// Where nothing else is wanted, [`HttpClient`](crate::HttpClient) knows more and costs less. Here the evidence is the request's body:
/// reqwest asks for it once it has a connection and before it writes the first byte. Not asked for, and the attempt given up: `Unsent`,
/// proven by a compare-and-swap, and reqwest gets no byte later. A permit that is too old when reqwest asks is `LatePermit`, at the
/// price of that connection.
///
/// What it cannot know, and then answers `Ambiguous`:
///
/// * whether a byte left after the body was asked for: a write that failed with nothing written, as on a pooled connection that had
///   died, or one that blocked until the deadline. Such a request may even arrive *after* the verdict, since reqwest keeps the socket
///   and flushes what it holds; allow for that before you take a call's absence as proof.
/// * anything of a request with an empty body after it was handed over, unless reqwest says that it got no connection. An empty body
///   is never asked for.
///
/// Unseen are also the resends inside reqwest of a request that never started because its pooled connection had closed: they cost no
/// byte twice, but are not paced or counted, and cannot be switched off. The reply's head is bounded by hyper and not by `max_head`.
/// `warm` does nothing, since reqwest opens no connection ahead: under a limiter, allow a tolerance above the time that name look-up,
/// TCP and TLS take, or every request on a fresh connection comes too late for its permit.
#[derive(Debug)]
pub struct ReqwestService {
    foreign: Foreign,
    client: reqwest::Client,
}

impl ReqwestService {
    /// A client made for this: HTTP/1.1, no redirects, no resends, no proxy; times, pool and TLS as `settings` say, the TLS being that
    /// of [`HttpClient`](crate::HttpClient).
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn new(
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        let builder = ClientBuilder::new()
            .no_proxy()
            .pool_max_idle_per_host(settings.max_idle)
            .pool_idle_timeout(settings.idle_timeout);
        let builder = match origin.is_https() {
            true => {
                let tls = tls::connector(&settings, clock.clone())?;
                builder.tls_backend_preconfigured(tls.config().as_ref().clone())
            }
            // No roots, which a bare container lacks.
            false => builder.tls_certs_only([]),
        };
        Self::from_builder(builder, origin, settings, judge, clock)
    }

    /// The client of your builder, whose own pool, proxies, resolver and TLS hold. Set last is what the evidence stands on: HTTP/1.1, no
    /// redirects, no resends, the connect time of `settings`, https alone unless the origin is loopback, and no idle connections unless
    /// `reuse` is `Always`.
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work; on `reqwest` if the builder itself fails.
    pub fn from_builder(
        builder: ClientBuilder,
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        let builder = match settings.reuse {
            Reuse::Always => builder,
            // Per request it cannot be said.
            _ => builder.pool_max_idle_per_host(0),
        };
        let built = builder
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .https_only(origin.is_https())
            .connect_timeout(settings.connect_timeout)
            .build();
        let client = built.map_err(|_| {
            InputError::new("reqwest", "the client cannot be built; check its TLS, roots and proxies")
        })?;
        Ok(Self { foreign: Foreign::new(origin, settings, judge, clock, true)?, client })
    }

    /// A client that you have already. What it was built with cannot be seen, so a body that was not asked for proves nothing
    /// (HTTP/2 sends the head before): once handed over, `Unsent` is only a request with a body for which reqwest reports that it got
    /// no connection. A redirect that it followed is `Ambiguous`. Prefer [`ReqwestService::from_builder`].
    ///
    /// # Errors
    /// [`InputError`] naming the setting that cannot work.
    pub fn with_client(
        client: reqwest::Client,
        origin: Origin,
        settings: TransportSettings,
        judge: Arc<dyn Judge>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        Ok(Self { foreign: Foreign::new(origin, settings, judge, clock, false)?, client })
    }
}

async fn call(client: &reqwest::Client, request: Request<GateBody>) -> Result<Response<Body>, Failure> {
    let request = reqwest::Request::try_from(request.map(Body::wrap)).map_err(|error| {
        let message = "reqwest cannot read the URL; nothing was sent";
        let error = AttemptError::new(FailureKind::Request, message).with_source(error.without_url());
        Failure { error, unconnected: true }
    })?;
    let asked = request.url().clone();
    let response = client.execute(request).await.map_err(failure)?;
    if *response.url() != asked {
        let message = "the client followed a redirect, so the reply answers another request; build it without redirects";
        return Err(Failure::open(AttemptError::new(FailureKind::Protocol, message)));
    }
    Ok(response.into())
}

fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let unconnected = error.is_connect();
    let (kind, message) = match unconnected {
        true if error.is_timeout() => (FailureKind::Timeout, "no connection in time; nothing was sent"),
        true if error.is_dns() => (FailureKind::Resolve, "the host's name did not resolve"),
        true if caused(&error, is_tls) => {
            (FailureKind::Tls, "the TLS handshake failed; check the host and its certificate")
        }
        true => (FailureKind::Connect, "no connection; check host, port and network"),
        false if error.is_timeout() => (FailureKind::Timeout, "reqwest's own time ran out before a reply"),
        false if caused(&error, is_parse) => {
            (FailureKind::Protocol, "the reply is not HTTP/1.1, or its head is too long")
        }
        false => (FailureKind::Connection, "the request failed before a reply"),
    };
    Failure { error: AttemptError::new(kind, message).with_source(error), unconnected }
}

type Cause = dyn std::error::Error + 'static;

fn caused(error: &reqwest::Error, is: fn(&Cause) -> bool) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(is)
}

fn is_tls(error: &Cause) -> bool {
    // An io error's source skips the error that it wraps, and here they come wrapped twice.
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().is_some_and(|wrapped| is_tls(wrapped)),
        None => error.is::<rustls::Error>(),
    }
}

fn is_parse(error: &Cause) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

#[deny(clippy::missing_trait_methods)]
impl HttpService for ReqwestService {
    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(self.foreign.exchange(attempt, |request| call(&self.client, request)))
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

//! The two leaves that the rows of evidence run over, and the attempts they are given.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use trunkline_core_types::{
    Attempt, Clock, Deadline, FailureKind, HttpService, Idempotency, Outcome, StatusOnly, SystemClock,
};
use trunkline_transport::{GateBody, ReqwestService, TowerService, TransportSettings};

pub(crate) const BODY: &[u8] = b"{\"amount\":7}";

/// Times that a test can wait for.
pub(crate) fn short() -> TransportSettings {
    let mut settings = TransportSettings::default();
    settings.read_timeout = Duration::from_millis(150);
    settings
}

pub(crate) fn reqwest_leaf(origin: &str, settings: TransportSettings) -> Arc<dyn HttpService> {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    Arc::new(ReqwestService::new(origin.parse().unwrap(), settings, judge, clock).unwrap())
}

pub(crate) fn hyper_util_client() -> Client<HttpConnector, GateBody> {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

pub(crate) fn tower_leaf(origin: &str, settings: TransportSettings) -> Arc<dyn HttpService> {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let service = TowerService::new(hyper_util_client(), origin.parse().unwrap(), settings, judge, clock);
    Arc::new(service.unwrap())
}

pub(crate) fn leaves(origin: &str, settings: TransportSettings) -> [Arc<dyn HttpService>; 2] {
    [reqwest_leaf(origin, settings.clone()), tower_leaf(origin, settings)]
}

pub(crate) fn until(time: Duration) -> Deadline {
    Deadline::At(SystemClock::new().now() + time)
}

/// A change that acts twice if it is repeated, with a body.
pub(crate) fn post(origin: &str) -> Attempt {
    post_of(origin, Bytes::from_static(BODY))
}

pub(crate) fn post_of(origin: &str, body: Bytes) -> Attempt {
    let request = Request::post(format!("{origin}/payments?token=canary")).body(body).unwrap();
    Attempt::change(request, Idempotency::No, until(Duration::from_secs(20)))
}

/// The same without a body.
pub(crate) fn delete(origin: &str) -> Attempt {
    let request = Request::delete(format!("{origin}/payments/1?token=canary")).body(Bytes::new()).unwrap();
    Attempt::change(request, Idempotency::No, until(Duration::from_secs(20)))
}

pub(crate) fn kind(outcome: &Outcome) -> Option<FailureKind> {
    outcome.result.as_ref().err().map(|error| error.kind())
}

/// An origin where nobody listens.
pub(crate) async fn refusing() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

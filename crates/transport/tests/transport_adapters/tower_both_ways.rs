//! A tower service as the leaf, misbehaving ones included, and a stack as a tower service.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use trunkline_core_types::{
    Attempt, Class, Clock, FailureKind, HttpService, Outcome, StatusOnly, VirtualClock,
};
use trunkline_transport::{GateBody, GateShut, ServiceFor, TowerService, TransportSettings};

use crate::leaves::{delete, hyper_util_client, kind, post, short, tower_leaf};
use crate::peer::{CREATED, Peer, Then};

const ORIGIN: &str = "http://127.0.0.1:7";

fn virtual_leaf<S>(service: S) -> TowerService<S> {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
    TowerService::new(service, ORIGIN.parse().unwrap(), TransportSettings::default(), judge, clock).unwrap()
}

type Answer = Result<Response<Full<Bytes>>, GateShut>;

#[tokio::test]
async fn a_layer_around_the_leaf_sees_every_request() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    let layered = ServiceBuilder::new()
        .map_request(|mut request: Request<GateBody>| {
            request.headers_mut().insert("x-tenant", HeaderValue::from_static("blue"));
            request
        })
        .service(hyper_util_client());
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
    let leaf = TowerService::new(
        layered,
        peer.origin().parse().unwrap(),
        TransportSettings::default(),
        judge,
        clock,
    );
    let leaf = leaf.unwrap();
    for _ in 0..4 {
        assert_eq!(leaf.send(post(&peer.origin())).await.class, Class::Accepted);
    }
    assert!(peer.requests().iter().all(|request| request.contains("x-tenant: blue\r\n")));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_is_unsent() {
    #[derive(Clone)]
    struct Unready(bool);
    impl Service<Request<GateBody>> for Unready {
        type Response = Response<Full<Bytes>>;
        type Error = GateShut;
        type Future = std::future::Ready<Answer>;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GateShut>> {
            if !self.0 {
                return Poll::Pending;
            }
            // Whatever error it has.
            let (_, mut body) = given_up();
            Pin::new(&mut body).poll_frame(cx).map(|frame| frame.unwrap().map(|_| ()))
        }
        fn call(&mut self, _: Request<GateBody>) -> Self::Future {
            unreachable!("called before it was ready")
        }
    }
    let outcome = virtual_leaf(Unready(false)).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)));
    let outcome = virtual_leaf(Unready(true)).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Connect)));
}

/// A body whose attempt was dropped before anybody asked for it.
fn given_up() -> (Class, GateBody) {
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let leaf = virtual_leaf(service_fn(move |request: Request<GateBody>| {
        *keep.lock().unwrap() = Some(request.into_body());
        pending::<Answer>()
    }));
    let attempt = post(ORIGIN);
    let evidence = attempt.evidence().clone();
    let mut future = leaf.send(attempt);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    let body = kept.lock().unwrap().take().unwrap();
    (evidence.class(), body)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_outlives_its_attempt_gives_nothing() {
    let (class, body) = given_up();
    assert_eq!(class, Class::Unsent);
    assert!(body.collect().await.is_err());
}

/// A service that answers before it asks may ask later only where it took the request.
#[tokio::test(start_paused = true)]
async fn a_body_that_outlives_a_reply_gives_nothing_unless_that_was_2xx() {
    for (status, given) in [(202, true), (400, false), (429, false), (503, false)] {
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        let leaf = virtual_leaf(service_fn(move |request: Request<GateBody>| {
            *keep.lock().unwrap() = Some(request.into_body());
            let reply = Response::builder().status(status).body(Full::<Bytes>::default());
            std::future::ready(Answer::Ok(reply.unwrap()))
        }));
        let outcome = leaf.send(post(ORIGIN)).await;
        assert_eq!(outcome.class == Class::Accepted, given);
        let body = kept.lock().unwrap().take().unwrap();
        assert_eq!(body.collect().await.is_ok(), given, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_decides_what_a_failure_means() {
    async fn before(request: Request<GateBody>) -> Answer {
        drop(request);
        Err(shut().await)
    }
    async fn after(request: Request<GateBody>) -> Answer {
        request.into_body().collect().await?;
        Err(shut().await)
    }
    async fn shut() -> GateShut {
        given_up().1.collect().await.unwrap_err()
    }
    let outcome = virtual_leaf(service_fn(before)).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Connection)));
    let outcome = virtual_leaf(service_fn(after)).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Connection)));
    // Of an empty body nobody knows.
    let outcome = virtual_leaf(service_fn(before)).send(delete(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Connection)));
}

#[tokio::test(start_paused = true)]
async fn the_read_time_runs_from_the_body_and_the_connect_time_before() {
    let clock = VirtualClock::new();
    let started = clock.now();
    let outcome =
        virtual_leaf(service_fn(|_: Request<GateBody>| pending::<Answer>())).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)));
    assert_eq!((clock.now() - started).as_secs(), 3);

    let (started, slow) = (clock.now(), clock.sleep_until(clock.now() + Duration::from_secs(2)));
    let slow = Arc::new(Mutex::new(Some(slow)));
    let service = service_fn(move |request: Request<GateBody>| {
        let slow = slow.lock().unwrap().take().unwrap();
        async move {
            slow.await;
            request.into_body().collect().await?;
            pending::<Answer>().await
        }
    });
    let outcome = virtual_leaf(service).send(post(ORIGIN)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Timeout)));
    assert_eq!((clock.now() - started).as_secs(), 12);
}

#[tokio::test]
async fn a_stack_is_a_tower_service() {
    let peer =
        Peer::scripted(&["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", CREATED], Then::Serve).await;
    let numbered = Arc::new(Mutex::new(Vec::new()));
    let seen = numbered.clone();
    let mut service = ServiceBuilder::new()
        .map_request(move |attempt: Attempt| {
            seen.lock().unwrap().push(attempt.number());
            attempt
        })
        .service(ServiceFor(tower_leaf(&peer.origin(), short())));
    for want in [Class::Ambiguous, Class::Accepted] {
        let outcome: Result<Outcome, Infallible> =
            service.ready().await.unwrap().call(post(&peer.origin())).await;
        assert_eq!(outcome.unwrap().class, want);
    }
    assert_eq!(*numbered.lock().unwrap(), [1, 1]);

    // Dropping the service's future gives the attempt up.
    let attempt = post(&peer.origin());
    let evidence = attempt.evidence().clone();
    let mut future = service.ready().await.unwrap().call(attempt);
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(evidence.class(), Class::Ambiguous);
    drop(future);
    assert_eq!(evidence.class(), Class::Unsent);
}

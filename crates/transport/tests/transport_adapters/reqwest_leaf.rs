//! What only reqwest can tell, and what is set on the client that its evidence stands on.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::ClientBuilder;
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, FailureKind, HttpService, Outcome, StatusOnly, SystemClock,
    VirtualClock,
};
use trunkline_transport::{ReqwestService, Reuse, TransportSettings};

use crate::leaves::{delete, kind, post, refusing, reqwest_leaf, short};
use crate::peer::{CREATED, Peer, Then};

fn built(
    builder: ClientBuilder,
    origin: &str,
    settings: TransportSettings,
    clock: Arc<dyn Clock>,
) -> ReqwestService {
    let judge = Arc::new(StatusOnly::default());
    ReqwestService::from_builder(builder.no_proxy(), origin.parse().unwrap(), settings, judge, clock).unwrap()
}

/// A resolver that does one thing and then says where the peer is, if it has a peer.
struct Scripted<F>(F, Option<SocketAddr>);

impl<F: Fn() -> BoxFuture<'static, ()> + Send + Sync> Resolve for Scripted<F> {
    fn resolve(&self, _: Name) -> Resolving {
        let (work, peer) = (self.0(), self.1);
        Box::pin(async move {
            work.await;
            let peer = peer.ok_or("no such host")?;
            Ok(Box::new(std::iter::once(peer)) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

fn at_once() -> BoxFuture<'static, ()> {
    Box::pin(std::future::ready(()))
}

fn never() -> BoxFuture<'static, ()> {
    Box::pin(std::future::pending())
}

#[tokio::test]
async fn no_connection_is_unsent_also_without_a_body() {
    let origin = refusing().await;
    let leaf = reqwest_leaf(&origin, TransportSettings::default());
    for attempt in [post(&origin), delete(&origin)] {
        let outcome = leaf.send(attempt).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Connect)));
    }
    let builder = ClientBuilder::new().dns_resolver(Arc::new(Scripted(at_once, None)));
    let origin = "http://localhost:9";
    let leaf = built(builder, origin, TransportSettings::default(), Arc::new(SystemClock::new()));
    for attempt in [post(origin), delete(origin)] {
        let outcome = leaf.send(attempt).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Resolve)));
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_connect_is_unsent_after_the_connect_time() {
    let builder = ClientBuilder::new().dns_resolver(Arc::new(Scripted(never, None)));
    let (origin, clock) = ("http://localhost:9", Arc::new(VirtualClock::new()));
    let leaf = built(builder, origin, TransportSettings::default(), clock.clone());
    let started = clock.now();
    let outcome = leaf.send(post(origin)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)));
    assert_eq!((clock.now() - started).as_secs(), 3);
}

/// A clock that somebody can put forward.
#[derive(Debug, Default)]
struct Jumping(AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> Instant {
        SystemClock::new().now() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemClock::new().wall()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        SystemClock::new().sleep_until(at)
    }
}

#[tokio::test]
async fn a_permit_that_ages_while_connecting_is_late_and_nothing_arrives() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    let clock = Arc::new(Jumping::default());
    let jump = clock.clone();
    let resolver = move || -> BoxFuture<'static, ()> {
        let jump = jump.clone();
        Box::pin(async move { jump.0.store(1, Ordering::SeqCst) })
    };
    let builder = ClientBuilder::new().dns_resolver(Arc::new(Scripted(resolver, Some(peer.addr))));
    let origin = format!("http://localhost:{}", peer.addr.port());
    let leaf = built(builder, &origin, TransportSettings::default(), clock.clone());
    let mut attempt = post(&origin);
    attempt.permit(clock.now(), clock.now() + Duration::from_millis(500));
    let evidence = attempt.evidence().clone();
    let outcome = leaf.send(attempt).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::LatePermit)));
    assert_eq!(evidence.class(), Class::Unsent);
    assert_eq!(peer.requests(), [""; 0]);
    assert_eq!(leaf.send(post(&origin)).await.class, Class::Accepted);
}

/// A server certificate for localhost under a root of its own; gives the acceptor and the root in PEM.
fn authority() -> (TlsAcceptor, String) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), root.pem())
}

async fn over_tls(settings: TransportSettings, acceptor: TlsAcceptor) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        stream.write_all(CREATED.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    });
    let outcome = reqwest_leaf(&origin, settings).send(post(&origin)).await;
    server.await.unwrap();
    outcome
}

#[tokio::test]
async fn a_private_root_is_refused_until_it_is_configured() {
    let (acceptor, root) = authority();
    let outcome = over_tls(TransportSettings::default(), acceptor.clone()).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Tls)), "{outcome:?}");
    let mut settings = TransportSettings::default();
    settings.extra_roots = root.into_bytes();
    assert_eq!(over_tls(settings, acceptor).await.class, Class::Accepted);

    let mut settings = TransportSettings::default();
    settings.extra_roots = b"not a certificate".to_vec();
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let refused = ReqwestService::new("https://localhost".parse().unwrap(), settings, judge, clock);
    assert_eq!(refused.unwrap_err().field(), "extra_roots");
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    let peer = Peer::new("hello, who is there?\r\n\r\n", Then::Serve).await;
    let outcome = reqwest_leaf(&peer.origin(), short()).send(post(&peer.origin())).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Protocol)));
}

#[tokio::test]
async fn a_builder_that_would_follow_or_resend_does_not() {
    let reply = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n";
    let peer = Peer::scripted(&[reply, CREATED], Then::Serve).await;
    let builder = ClientBuilder::new().redirect(reqwest::redirect::Policy::limited(5));
    let leaf = built(builder, &peer.origin(), TransportSettings::default(), Arc::new(SystemClock::new()));
    let outcome = leaf.send(post(&peer.origin())).await;
    assert_eq!((outcome.class, outcome.status().unwrap().as_u16()), (Class::Ambiguous, 302));
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn without_reuse_every_request_has_its_own_connection() {
    for (reuse, want) in [(Reuse::Always, 1), (Reuse::NeverForCreates, 3), (Reuse::Never, 3)] {
        let (listener, mut settings) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TransportSettings::default());
        settings.reuse = reuse;
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicU64::new(0));
        let count = accepted.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while crate::peer::read_request(&mut stream).await.is_some() {
                        stream.write_all(CREATED.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let leaf = reqwest_leaf(&origin, settings);
        for _ in 0..3 {
            assert_eq!(leaf.send(post(&origin)).await.class, Class::Accepted);
        }
        assert_eq!(accepted.load(Ordering::SeqCst), want, "{reuse:?}");
        server.abort();
    }
}

fn with_client(client: reqwest::Client, origin: &str, clock: Arc<dyn Clock>) -> ReqwestService {
    let (judge, settings) = (Arc::new(StatusOnly::default()), TransportSettings::default());
    ReqwestService::with_client(client, origin.parse().unwrap(), settings, judge, clock).unwrap()
}

#[tokio::test]
async fn a_redirect_that_an_unknown_client_followed_is_ambiguous() {
    let reply = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n";
    let client = ClientBuilder::new().no_proxy().build().unwrap();
    for attempt in [post, delete] {
        let peer = Peer::scripted(&[reply, CREATED], Then::Serve).await;
        let leaf = with_client(client.clone(), &peer.origin(), Arc::new(SystemClock::new()));
        let outcome = leaf.send(attempt(&peer.origin())).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Protocol)));
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_without_a_body_is_ambiguous_too() {
    let location = format!("{}/elsewhere", refusing().await);
    let reply = format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: {location}\r\n\r\n");
    let peer = Peer::new(&reply, Then::Serve).await;
    let client = ClientBuilder::new().no_proxy().build().unwrap();
    let outcome =
        with_client(client, &peer.origin(), Arc::new(SystemClock::new())).send(delete(&peer.origin())).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Connect)));
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_client_proves_unsent_only_by_a_failed_connect() {
    let (origin, clock) = ("http://localhost:9", Arc::new(VirtualClock::new()));
    let hanging = Arc::new(Scripted(never, None));
    let client = ClientBuilder::new().no_proxy().dns_resolver(hanging).build().unwrap();
    let outcome = with_client(client, origin, clock.clone()).send(post(origin)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Ambiguous, Some(FailureKind::Timeout)));
    let client =
        ClientBuilder::new().no_proxy().dns_resolver(Arc::new(Scripted(at_once, None))).build().unwrap();
    let outcome = with_client(client, origin, clock).send(post(origin)).await;
    assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Resolve)));
}

#[tokio::test]
async fn no_error_shows_the_url() {
    let refusing = refusing().await;
    let (garbage, silent) =
        (Peer::new("garbage\r\n\r\n", Then::Close).await, Peer::new("", Then::Hang).await);
    let cut = Peer::new("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nnice", Then::Close).await;
    for origin in [refusing, garbage.origin(), silent.origin(), cut.origin()] {
        let leaf = reqwest_leaf(&origin, short());
        let attempt: Attempt = post(&origin);
        let error = leaf.send(attempt).await.result.unwrap_err();
        let mut said = format!("{leaf:?} {error:?} {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            said += &format!(" {inner:?} {inner}");
            cause = inner.source();
        }
        assert!(!said.contains("canary") && !said.contains("payments"), "{said}");
    }
}

//! Real TLS: a certificate of a private root is refused until that root is configured.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, FailureKind, HttpService, Outcome, StatusOnly, SystemClock,
};
use trunkline_transport::{HttpClient, TransportSettings};

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

async fn get(settings: TransportSettings, acceptor: TlsAcceptor) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        stream.flush().await.unwrap();
    });
    let clock = Arc::new(SystemClock::new());
    let url = format!("https://localhost:{port}/");
    let client =
        HttpClient::new(url.parse().unwrap(), settings, Arc::new(StatusOnly::default()), clock.clone())
            .unwrap();
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let outcome =
        client.send(Attempt::read(request, Deadline::At(clock.now() + Duration::from_secs(10)))).await;
    server.await.unwrap();
    outcome
}

#[tokio::test]
async fn a_private_root_is_refused_until_it_is_configured() {
    let (acceptor, root) = authority();
    let outcome = get(TransportSettings::default(), acceptor.clone()).await;
    assert_eq!((outcome.class, outcome.result.unwrap_err().kind()), (Class::Unsent, FailureKind::Tls));

    let mut settings = TransportSettings::default();
    settings.extra_roots = root.into_bytes();
    let outcome = get(settings, acceptor).await;
    assert_eq!((outcome.class, outcome.result.unwrap().body().as_ref()), (Class::Accepted, &b"ok"[..]));
}

#[test]
fn roots_that_are_no_certificates_are_refused() {
    let mut settings = TransportSettings::default();
    settings.extra_roots = b"not a certificate".to_vec();
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let refused = HttpClient::new("https://localhost".parse().unwrap(), settings, judge, clock);
    assert_eq!(refused.unwrap_err().field(), "extra_roots");
}

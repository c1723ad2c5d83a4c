//! Real TLS: whom the client trusts, and how it shows itself.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, Deadline, FailureKind, HttpService, InputError, Outcome, StatusOnly,
    SystemClock,
};
use trunkline_transport::{ClientCertificate, HttpClient, TransportSettings};

/// A root, and what it signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (rcgen::Certificate, KeyPair) {
        let (mut params, key) =
            (CertificateParams::new(vec![name.to_owned()]).unwrap(), KeyPair::generate().unwrap());
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server of this name that asks for no certificate.
    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let (leaf, key) = self.issue(name, |_| {});
        acceptor(&[&TLS13, &TLS12], None, leaf.der().clone(), &key)
    }

    fn client(&self) -> ClientCertificate {
        let (leaf, key) = self.issue("client", |_| {});
        ClientCertificate::new(leaf.pem().as_bytes(), key.serialize_pem().into_bytes().into()).unwrap()
    }
}

fn acceptor(
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authority>,
    leaf: CertificateDer<'static>,
    key: &KeyPair,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![leaf], key).unwrap()))
}

/// A GET to `https://localhost` at a server with this acceptor.
async fn get(settings: TransportSettings, acceptor: TlsAcceptor) -> Outcome {
    get_at(settings, acceptor, Arc::new(SystemClock::new())).await
}

async fn get_at(settings: TransportSettings, acceptor: TlsAcceptor, clock: Arc<dyn Clock>) -> Outcome {
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
    let outcome = send(settings, port, clock).await;
    server.await.unwrap();
    outcome
}

async fn send(settings: TransportSettings, port: u16, clock: Arc<dyn Clock>) -> Outcome {
    let url = format!("https://localhost:{port}/");
    let client =
        HttpClient::new(url.parse().unwrap(), settings, Arc::new(StatusOnly::default()), clock.clone())
            .unwrap();
    let request = Request::get(url).body(Bytes::new()).unwrap();
    client.send(Attempt::read(request, Deadline::At(clock.now() + Duration::from_secs(10)))).await
}

fn trusting(authority: &Authority) -> TransportSettings {
    let mut settings = TransportSettings::default();
    settings.only_roots = authority.pem();
    settings
}

fn refused_by_us(outcome: Outcome) {
    assert_eq!((outcome.class, outcome.result.unwrap_err().kind()), (Class::Unsent, FailureKind::Tls));
}

fn answered(outcome: Outcome) {
    assert_eq!((outcome.class, outcome.result.unwrap().body().as_ref()), (Class::Accepted, &b"ok"[..]));
}

#[tokio::test]
async fn a_private_root_is_refused_until_it_is_configured() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("localhost");
    refused_by_us(get(TransportSettings::default(), acceptor.clone()).await);
    let mut beside = TransportSettings::default();
    beside.extra_roots = authority.pem();
    answered(get(beside, acceptor.clone()).await);
    answered(get(trusting(&authority), acceptor).await);
}

#[tokio::test]
async fn another_root_is_refused_both_beside_the_machine_s_and_alone() {
    let (ours, other) = (Authority::new(), Authority::new());
    refused_by_us(get(trusting(&other), ours.acceptor("localhost")).await);
    let mut beside = TransportSettings::default();
    beside.extra_roots = other.pem();
    refused_by_us(get(beside, ours.acceptor("localhost")).await);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    for name in ["voice.example.com", "*.localhost", "localhost.example.com", "127.0.0.1"] {
        refused_by_us(get(trusting(&authority), authority.acceptor(name)).await);
    }
}

/// The machine's clock with another time of day.
#[derive(Debug)]
struct WallAt(SystemTime);

impl Clock for WallAt {
    fn now(&self) -> Instant {
        SystemClock::new().now()
    }

    fn wall(&self) -> SystemTime {
        self.0
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        SystemClock::new().sleep_until(at)
    }
}

#[tokio::test]
async fn a_certificate_is_good_between_its_dates_by_the_client_s_clock() {
    let authority = Authority::new();
    let (leaf, key) = authority.issue("localhost", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let acceptor = acceptor(&[&TLS13, &TLS12], None, leaf.der().clone(), &key);
    for (year, good) in [(2019, false), (2020, true), (2022, false)] {
        let wall = SystemTime::from(date_time_ymd(year, 6, 1));
        let outcome = get_at(trusting(&authority), acceptor.clone(), Arc::new(WallAt(wall))).await;
        if good { answered(outcome) } else { refused_by_us(outcome) }
    }
    refused_by_us(get(trusting(&authority), acceptor).await);
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it() {
    let (servers, clients) = (Authority::new(), Authority::new());
    for version in [&TLS12, &TLS13] {
        let (leaf, key) = servers.issue("localhost", |_| {});
        let acceptor = acceptor(&[version], Some(&clients), leaf.der().clone(), &key);
        let mut settings = trusting(&servers);
        settings.client_certificate = Some(clients.client());
        answered(get(settings.clone(), acceptor.clone()).await);

        for wrong in [None, Some(servers.client())] {
            settings.client_certificate = wrong;
            let outcome = get(settings.clone(), acceptor.clone()).await;
            if version.version == rustls::ProtocolVersion::TLSv1_2 {
                refused_by_us(outcome);
            } else {
                // In TLS 1.3 our side is finished before the server looks at the certificate: the request may be on its way.
                assert_ne!(outcome.class, Class::Accepted);
                assert!(outcome.result.is_err());
            }
        }
    }
}

/// Answers a ClientHello with the ServerHello of TLS 1.1, and gives the hello back.
async fn answer_in_tls_1_1(listener: TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.unwrap();
    let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut hello).await.unwrap();
    // Record of version 1.1: ServerHello, 38 bytes: version 1.1, random, no session, ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    let mut record = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    record.extend([7; 32]);
    record.extend([0, 0xc0, 0x13, 0]);
    stream.write_all(&record).await.unwrap();
    let _ = stream.read(&mut [0; 64]).await;
    hello
}

#[tokio::test]
async fn tls_1_1_is_neither_offered_nor_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(answer_in_tls_1_1(listener));
    refused_by_us(send(TransportSettings::default(), port, Arc::new(SystemClock::new())).await);
    let hello = server.await.unwrap();
    // supported_versions: extension 43, 5 bytes, of these 4 of versions: 1.3 and 1.2.
    let offered = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    assert!(hello.windows(offered.len()).any(|window| window == offered), "{hello:?}");
}

fn refusal(settings: TransportSettings) -> InputError {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    HttpClient::new("https://localhost".parse().unwrap(), settings, judge, clock).unwrap_err()
}

#[test]
fn roots_that_cannot_work_are_refused() {
    let mut settings = TransportSettings::default();
    settings.extra_roots = b"not a certificate".to_vec();
    assert_eq!(refusal(settings.clone()).field(), "extra_roots");
    settings.only_roots = Authority::new().pem();
    assert_eq!(refusal(settings.clone()).field(), "only_roots");
    settings.extra_roots.clear();
    settings.only_roots = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    assert_eq!(refusal(settings).field(), "only_roots");
}

#[test]
fn a_client_certificate_that_cannot_work_is_refused_and_its_key_is_never_shown() {
    let authority = Authority::new();
    let (leaf, key) = authority.issue("client", |_| {});
    let (chain, key) = (leaf.pem(), key.serialize_pem());
    let (_, other) = authority.issue("client", |_| {});
    let new =
        |chain: &str, key: &str| ClientCertificate::new(chain.as_bytes(), key.as_bytes().to_vec().into());
    for (chain, bad) in [
        (chain.as_str(), other.serialize_pem()),
        (chain.as_str(), "no key".to_owned()),
        (chain.as_str(), chain.clone()),
        ("", key.clone()),
        ("no chain", key.clone()),
        (key.as_str(), key.clone()),
    ] {
        let error = new(chain, &bad).unwrap_err();
        assert_eq!(error.field(), "client_certificate");
        assert!(!bad.lines().any(|line| line.len() > 20 && format!("{error} {error:?}").contains(line)));
    }
    let mut settings = TransportSettings::default();
    settings.client_certificate = Some(new(&chain, &key).unwrap());
    let shown = format!("{settings:?}");
    assert!(shown.contains("REDACTED"), "{shown}");
    assert!(!key.lines().chain(chain.lines()).any(|line| shown.contains(line)), "{shown}");
}

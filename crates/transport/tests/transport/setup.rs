//! The rows before a request can leave: name, connect, TLS. All are `Unsent`, and say which it was.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, FailureKind, HttpService, Idempotency, Progress, StatusOnly, SystemClock,
};
use trunkline_transport::{HttpClient, TransportSettings};

use crate::scripted::{Script, ScriptedDial, Then, create, create_to, https_client};
use crate::sockets::local;

async fn fails(url: &str, kind: FailureKind) {
    let clock = std::sync::Arc::new(SystemClock::new());
    let mut settings = TransportSettings::default();
    settings.connect_timeout = Duration::from_millis(300);
    let judge = std::sync::Arc::new(StatusOnly::default());
    let client = HttpClient::new(url.parse().unwrap(), settings, judge, clock.clone()).unwrap();
    let request = Request::post(url).body(Bytes::from_static(b"{}")).unwrap();
    let attempt =
        Attempt::change(request, Idempotency::No, Deadline::At(clock.now() + Duration::from_secs(20)));
    let evidence = attempt.evidence().clone();
    let outcome = client.send(attempt).await;
    let seen = outcome.result.unwrap_err();
    assert_eq!((outcome.class, seen.kind()), (Class::Unsent, kind), "{seen}");
    assert_eq!((evidence.class(), evidence.progress()), (Class::Unsent, Progress::Waiting));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unsent() {
    fails("https://nonexistent.invalid/", FailureKind::Resolve).await;
}

#[tokio::test]
async fn a_refused_port_is_unsent_over_tcp_and_tls() {
    let port = TcpListener::bind(local()).await.unwrap().local_addr().unwrap().port();
    fails(&format!("http://127.0.0.1:{port}/"), FailureKind::Connect).await;
    fails(&format!("https://127.0.0.1:{port}/"), FailureKind::Connect).await;
}

#[tokio::test]
async fn a_connect_that_hangs_is_unsent_over_tcp() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(local()).unwrap();
    // Nobody accepts: the line of one is full, and the kernel leaves the next one without an answer.
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let _first = TcpStream::connect(addr).await.unwrap();
    fails(&format!("http://{addr}/"), FailureKind::Timeout).await;
}

/// A peer that takes the client's hello and then does what it is told.
async fn hello(then: Then, says: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(local()).await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
        stream.write_all(says).await.unwrap();
        match then {
            Then::Hang => drop(stream.read(&mut hello).await),
            Then::Close => drop(stream),
            Then::Reset => {
                stream.set_zero_linger().unwrap();
                drop(stream);
            }
        }
    });
    (url, peer)
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_is_unsent() {
    let (url, _peer) = hello(Then::Hang, b"").await;
    fails(&url, FailureKind::Timeout).await;
}

#[tokio::test]
async fn a_tls_handshake_that_breaks_is_unsent() {
    for then in [Then::Close, Then::Reset] {
        let (url, _peer) = hello(then, b"").await;
        fails(&url, FailureKind::Tls).await;
    }
    let (url, _peer) = hello(Then::Close, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    fails(&url, FailureKind::Tls).await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_cut_at_every_byte_is_unsent_over_scripted_io() {
    let ends = [
        (Then::Hang, FailureKind::Timeout),
        (Then::Close, FailureKind::Tls),
        (Then::Reset, FailureKind::Tls),
    ];
    let cuts = || (0..600).step_by(3).flat_map(|taken| ends.map(|(then, kind)| (taken, then, kind)));
    let scripts = cuts().map(|(taken, then, _)| Script { idle_then: then, ..Script::takes(taken, then) });
    let client = https_client(ScriptedDial::new(scripts));
    for (taken, then, kind) in cuts() {
        let attempt = create_to("https://localhost:7/v1/calls", create().wait_until());
        let evidence = attempt.evidence().clone();
        let outcome = client.send(attempt).await;
        let seen = outcome.result.unwrap_err().kind();
        assert_eq!((outcome.class, seen), (Class::Unsent, kind), "{taken} bytes, then {then:?}");
        assert_eq!(evidence.progress(), Progress::Waiting);
    }
}

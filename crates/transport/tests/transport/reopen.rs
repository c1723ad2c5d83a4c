//! Giving up ends a connection's writes: the window opens again and nothing of the attempt arrives any more.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, Evidence, HttpService, Idempotency, Progress, Scope, StatusOnly,
    SystemClock,
};
use trunkline_transport::{HttpClient, TransportSettings};

use crate::scripted::{CREATED, Script, ScriptedDial, Then, client, create};
use crate::sockets::{Over, Sockets, local, settle, until};
use crate::tls::Authority;

/// How an attempt is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GivenUp {
    InTime,
    Dropped,
}

const BOTH: [GivenUp; 2] = [GivenUp::InTime, GivenUp::Dropped];

/// Sends until the attempt is given up after `patience`; the evidence is read after that.
async fn give_up(how: GivenUp, client: &HttpClient, url: &str, body: usize, clock: &dyn Clock) -> Evidence {
    let patience = clock.now() + Duration::from_millis(200);
    let deadline = match how {
        GivenUp::InTime => patience,
        GivenUp::Dropped => patience + Duration::from_secs(5),
    };
    let request = Request::post(url).body(Bytes::from(vec![b'x'; body])).unwrap();
    let attempt = Attempt::change(request, Idempotency::No, Deadline::At(deadline));
    let evidence = attempt.evidence().clone();
    let (mut future, mut timer) = (client.send(attempt), clock.sleep_until(patience));
    std::future::poll_fn(|cx| match (future.as_mut().poll(cx), how) {
        (Poll::Ready(outcome), _) => {
            assert_eq!(outcome.class, evidence.class());
            Poll::Ready(())
        }
        (Poll::Pending, GivenUp::Dropped) => timer.as_mut().poll(cx),
        (Poll::Pending, GivenUp::InTime) => Poll::Pending,
    })
    .await;
    drop(future);
    evidence
}

#[tokio::test(start_paused = true)]
async fn a_held_write_never_leaves_over_scripted_io() {
    for how in BOTH {
        for (taken, class) in [(0, Class::Unsent), (60, Class::Ambiguous), (70_000, Class::Ambiguous)] {
            let dial = ScriptedDial::new([Script::takes(taken, Then::Hang)]);
            let (client, clock) = (client(dial.clone()), trunkline_core_types::VirtualClock::new());
            let evidence = give_up(how, &client, crate::scripted::URL, 1 << 20, &clock).await;
            assert_eq!(evidence.class(), class, "{how:?} after {taken} bytes");
            let state = dial.connection(0);
            state.lock().unwrap().revive(Script::replies(CREATED));
            client.warm(&create()).await;
            let state = state.lock().unwrap();
            assert!(state.aborted && state.dropped);
            assert_eq!(state.received.len(), taken);
        }
    }
}

async fn held(over: Over) {
    for how in BOTH {
        for (budget, class) in [(0, Class::Unsent), (60, Class::Ambiguous), (70_000, Class::Ambiguous)] {
            let peer = Sockets::new(over, Script::takes(budget, Then::Hang));
            let clock = SystemClock::new();
            peer.client.warm(&create()).await;
            peer.gate.hold(budget, 0);
            let evidence = give_up(how, &peer.client, &peer.url, 1 << 20, &clock).await;
            assert_eq!(evidence.class(), class, "{how:?} after {budget} bytes");
            peer.gate.open();
            until("the connection ends", || peer.book().ends.len() == 1).await;
            settle().await;
            assert_eq!((peer.gate.passed(), peer.book().requests), (budget, 0));
        }
    }
}

#[tokio::test]
async fn a_held_write_never_leaves_over_tcp() {
    held(Over::Tcp).await;
}

#[tokio::test]
async fn a_held_write_never_leaves_over_tls() {
    held(Over::Tls).await;
}

/// A peer with a small receive buffer that reads only when it is told; gives what it then gets, and whether that ended in a reset.
async fn late_reader(
    over: Over,
    read_on: Arc<Notify>,
) -> (String, Vec<u8>, tokio::task::JoinHandle<(usize, bool)>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(local()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = Authority::new();
    let acceptor = authority.acceptor("localhost");
    let (url, root) = match over {
        Over::Tcp => (format!("http://127.0.0.1:{port}/"), Vec::new()),
        Over::Tls => (format!("https://localhost:{port}/"), authority.pem()),
    };
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut io: Box<dyn AsyncRead + Unpin + Send> = match over {
            Over::Tcp => Box::new(stream),
            Over::Tls => Box::new(acceptor.accept(stream).await.unwrap()),
        };
        read_on.notified().await;
        let mut received = Vec::new();
        let end = io.read_to_end(&mut received).await;
        (received.len(), end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset))
    });
    (url, root, peer)
}

/// What the kernel had accepted is taken back too: the peer gets what its own buffer held and then the reset.
async fn full_socket(over: Over) {
    // The first fits the client's send buffer whole, the second does not.
    for (how, body) in BOTH.into_iter().flat_map(|how| [(how, 200_000), (how, 16 << 20)]) {
        let read_on = Arc::new(Notify::new());
        let (url, root, peer) = late_reader(over, read_on.clone()).await;
        let mut settings = TransportSettings::default();
        settings.extra_roots = root;
        let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
        let client = HttpClient::new(url.parse().unwrap(), settings, judge, clock.clone()).unwrap();
        let evidence = give_up(how, &client, &url, body, &*clock).await;
        assert_eq!(evidence.class(), Class::Ambiguous, "{how:?}");
        assert!(body < 1 << 20 || evidence.progress() == Progress::Part, "{:?}", evidence.progress());
        read_on.notify_one();
        let (received, reset) = peer.await.unwrap();
        assert!(reset && received < 150_000.min(body), "{how:?}: {received} of {body} bytes, reset {reset}");
    }
}

#[tokio::test]
async fn a_full_socket_delivers_nothing_more_over_tcp() {
    full_socket(Over::Tcp).await;
}

#[tokio::test]
async fn a_full_socket_delivers_nothing_more_over_tls() {
    full_socket(Over::Tls).await;
}

/// A wire that takes nothing and says so holds a request up as one that is pending does: TLS keeps the rest for later.
#[tokio::test]
async fn a_connection_whose_wire_took_nothing_is_not_used_again_after_a_reply() {
    let reply = "HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n";
    let peer = Sockets::new(Over::Tls, Script { early: true, ..Script::replies(reply) });
    let clock = SystemClock::new();
    peer.client.warm(&create()).await;
    settle().await;
    peer.gate.hold_with_zero(100_000);
    let request = Request::post(&peer.url).body(Bytes::from(vec![b'x'; 1 << 20])).unwrap();
    let deadline = Deadline::At(clock.now() + Duration::from_secs(20));
    let outcome = peer.client.send(Attempt::change(request, Idempotency::No, deadline)).await;
    assert_eq!(outcome.class, Class::Rejected(Scope::Call));
    peer.gate.open();
    until("the connection ends", || peer.book().ends.len() == 1).await;
    assert!(peer.book().bytes < 110_000);
}

/// Bytes that a wire could not take back, and reported only after its abort, count.
#[tokio::test(start_paused = true)]
async fn what_a_wire_admits_after_its_abort_is_ambiguous() {
    for (unreported, class) in [(0, Class::Unsent), (1, Class::Ambiguous)] {
        let dial = ScriptedDial::new([Script { unreported, ..Script::takes(0, Then::Hang) }]);
        let client = client(dial.clone());
        let attempt = create();
        let evidence = attempt.evidence().clone();
        let mut future = client.send(attempt);
        assert!(future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        drop(future);
        assert_eq!(evidence.class(), class);
    }
}

/// A wire that delivers what it holds when it is dropped, unless it was aborted.
#[tokio::test(start_paused = true)]
async fn a_wire_is_aborted_before_it_is_dropped() {
    for how in BOTH {
        let dial = ScriptedDial::new([Script { flushes_on_drop: true, ..Script::takes(0, Then::Hang) }]);
        let clock = trunkline_core_types::VirtualClock::new();
        let evidence = give_up(how, &client(dial.clone()), crate::scripted::URL, 9, &clock).await;
        assert_eq!(evidence.class(), Class::Unsent);
        assert!(dial.connection(0).lock().unwrap().received.is_empty());
    }
}

//! The exporter over real sockets. A process has one recorder for ever, so its whole life is one test.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use trunkline_core_types::{BoxFuture, Clock, Fact, Observer, SystemClock};
use trunkline_telemetry::{ExporterErrorKind, MetricsObserver, PrometheusExporter};

/// A clock that moves only by hand.
#[derive(Debug)]
struct Hand {
    start: Instant,
    moved: watch::Sender<Duration>,
}

impl Hand {
    fn new() -> Self {
        Self { start: SystemClock::new().now(), moved: watch::Sender::new(Duration::ZERO) }
    }

    fn forward(&self, time: Duration) {
        self.moved.send_modify(|moved| *moved += time);
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        self.start + *self.moved.borrow()
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let (mut moved, start) = (self.moved.subscribe(), self.start);
        Box::pin(async move {
            moved.wait_for(|moved| start + *moved >= at).await.unwrap();
        })
    }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

fn lines<'a>(page: &'a str, start: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(start)).collect()
}

#[tokio::test]
async fn from_before_its_installation_to_after_its_shutdown() {
    let clock = Arc::new(Hand::new());
    let observer = MetricsObserver::new(&"main".parse().unwrap());
    observer.saw(Fact::StaleConnection);

    // A taken address: nothing is installed.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let error = PrometheusExporter::new(clock.clone()).listen(taken.0).install().unwrap_err();
    assert_eq!(error.kind(), ExporterErrorKind::Bind);
    assert!(error.to_string().contains(&taken.0.to_string()), "{error}");
    assert!(std::error::Error::source(&error).is_some());

    let exporter = PrometheusExporter::new(clock.clone()).listen("127.0.0.1:0".parse().unwrap());
    let handle = exporter.clone().install().unwrap();
    assert!(handle.address().ip().is_loopback() && handle.address().port() != 0);
    assert_eq!(exporter.install().unwrap_err().kind(), ExporterErrorKind::Installed);

    // The observer is older than the recorder and counts from here on.
    observer.saw(Fact::StaleConnection);
    observer.saw(Fact::StaleConnection);
    observer
        .saw(Fact::Permitted { lane: trunkline_core_types::Lane::Bulk, waited: Duration::from_millis(250) });
    let reply = ask(handle.address(), "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, page) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())), "{head}");
    assert_eq!(
        lines(page, "trunkline_stale_connections_total"),
        ["trunkline_stale_connections_total{account=\"main\"} 2"]
    );
    assert_eq!(
        lines(page, "# TYPE trunkline_ratelimit_wait_seconds"),
        ["# TYPE trunkline_ratelimit_wait_seconds histogram"]
    );
    let bucket = "trunkline_ratelimit_wait_seconds_bucket{account=\"main\",lane=\"bulk\",le=";
    assert!(page.contains(&format!("{bucket}\"0.1\"}} 0\n{bucket}\"0.25\"}} 1\n")), "{page}");
    let build = format!("trunkline_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines(page, "trunkline_build_info"), [build]);
    assert_eq!(lines(&handle.render(), "trunkline_stale"), lines(page, "trunkline_stale"));

    refuses_all_but_get_metrics(handle.address()).await;
    drops_who_is_slow(handle.address(), &clock).await;

    // After the end nobody listens and nothing is kept.
    let address = handle.address();
    handle.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    observer.saw(Fact::StaleConnection);
    let error = PrometheusExporter::new(clock).listen("127.0.0.1:0".parse().unwrap()).install().unwrap_err();
    assert_eq!(error.kind(), ExporterErrorKind::Installed);
}

async fn refuses_all_but_get_metrics(address: SocketAddr) {
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(8 * 1024));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 "),
        ("GET /metrics/more HTTP/1.1\r\n\r\n", "404 "),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 "),
        ("GET /metrics HTTP/2.0\r\n\r\n", "400 "),
        ("\u{1}\u{2}\r\n\r\n", "400 "),
        ("\r\n\r\n", "400 "),
        (&long, "431 "),
    ] {
        let reply = ask(address, request).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{request:.40} -> {reply:.60}");
        assert!(!reply.contains("trunkline_"), "{request:.40}");
    }
}

/// As many slow connections as are served at once: a scrape waits for them, each is closed at its deadline, then it gets through.
async fn drops_who_is_slow(address: SocketAddr, clock: &Arc<Hand>) {
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        slow.push(stream);
    }
    let scrape = tokio::spawn(async move { ask(address, "GET /metrics HTTP/1.1\r\n\r\n").await });
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!scrape.is_finished(), "more are served at once than the bound");
    clock.forward(Duration::from_millis(4_999));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!scrape.is_finished(), "a slow one is closed before its deadline");

    clock.forward(Duration::from_millis(1));
    assert!(scrape.await.unwrap().starts_with("HTTP/1.1 200 OK"));
    for mut stream in slow {
        let mut reply = Vec::new();
        // Closed without an answer; some systems call that a reset.
        let _ = stream.read_to_end(&mut reply).await;
        assert_eq!(reply, b"");
    }
}

#[test]
fn outside_a_runtime_it_says_so() {
    let error = PrometheusExporter::new(Arc::new(Hand::new())).install().unwrap_err();
    assert_eq!(error.kind(), ExporterErrorKind::NoRuntime);
}

//! A proxy in between: the tunnel end to end, what goes wrong before it is open, and which origins take it.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use trunkline_core_types::{
    AttemptError, BoxFuture, Class, Clock, FailureKind, HttpService, Origin, Outcome, StatusOnly, SystemClock,
};
use trunkline_transport::{Dial, HttpClient, ProxyDial, ProxySettings, TcpDial, TransportSettings, Wire};

use crate::scripted::create_to;
use crate::tls::Authority;

const ORIGIN: &str = "https://voice.example.com/v1/calls";
const PASSWORD: &str = "canary-7f3a";

/// What the proxy does once it has read a CONNECT.
#[derive(Debug, Clone)]
enum Does {
    /// Connects to this port of this machine, whatever the target is, and says so in these bytes.
    Tunnel(u16, &'static str),
    /// Writes this and closes.
    Says(Vec<u8>),
    Hangs,
}

/// A CONNECT proxy on loopback, and the heads it has read.
struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, heads) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let seen = heads.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(proxy(stream, does.clone(), seen.clone()));
            }
        });
        Self { port, heads, task }
    }

    fn settings(&self, user: &str) -> ProxySettings {
        ProxySettings::new(&format!("http://{user}127.0.0.1:{}", self.port)).unwrap()
    }

    fn head(&self) -> String {
        self.heads.lock().unwrap().concat()
    }
}

async fn proxy(mut stream: TcpStream, does: Does, seen: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    match does {
        Does::Tunnel(port, says) => {
            let mut origin = TcpStream::connect(("127.0.0.1", port)).await?;
            // In two writes, so that a reply read in pieces is read too.
            stream.write_all(&says.as_bytes()[..9]).await?;
            tokio::task::yield_now().await;
            stream.write_all(&says.as_bytes()[9..]).await?;
            copy_bidirectional(&mut stream, &mut origin).await?;
        }
        Does::Says(bytes) => stream.write_all(&bytes).await?,
        Does::Hangs => drop(stream.read(&mut [0; 64]).await),
    }
    Ok(())
}

/// A server that answers each request over TLS as voice.example.com; gives its port.
async fn origin(authority: &Authority) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, acceptor) = (listener.local_addr().unwrap().port(), authority.acceptor("voice.example.com"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    port
}

fn client(settings: TransportSettings, proxy: ProxySettings) -> HttpClient {
    let dial = Arc::new(ProxyDial::new(proxy, Arc::new(TcpDial::new())));
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    HttpClient::with_dial(ORIGIN.parse().unwrap(), settings, judge, clock, dial).unwrap()
}

async fn create(client: &HttpClient) -> Outcome {
    client.send(create_to(ORIGIN, SystemClock::new().now() + Duration::from_secs(10))).await
}

/// A create through a proxy that does this; it must be unsent and name neither user nor password.
async fn fails(does: Does, user: &str) -> AttemptError {
    let proxy = Proxy::start(does).await;
    let outcome = create(&client(TransportSettings::default(), proxy.settings(user))).await;
    assert_eq!(outcome.class, Class::Unsent);
    let error = outcome.result.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Connect, "{error}");
    let shown = format!("{error} {error:?}");
    assert!(error.to_string().contains("the proxy 127.0.0.1 "), "{error}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("someone"), "{shown}");
    error
}

#[tokio::test]
async fn a_call_goes_through_the_tunnel_with_tls_end_to_end() {
    for says in ["HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\nVia: x\r\n\r\n"] {
        let authority = Authority::new();
        let proxy = Proxy::start(Does::Tunnel(origin(&authority).await, says)).await;
        let mut settings = TransportSettings::default();
        settings.only_roots = authority.pem();
        let client = client(settings, proxy.settings(&format!("someone:{PASSWORD}%40@")));
        for _ in 0..3 {
            let outcome = create(&client).await;
            assert_eq!(
                (outcome.class, outcome.result.unwrap().body().as_ref()),
                (Class::Accepted, &b"ok"[..])
            );
        }
        // One tunnel for all three; its head is all that the proxy could read.
        let want = "CONNECT voice.example.com:443 HTTP/1.1\r\nHost: voice.example.com:443\r\n\
            Proxy-Authorization: Basic c29tZW9uZTpjYW5hcnktN2YzYUA=\r\n\r\n";
        assert_eq!(proxy.head(), want);
    }
}

#[tokio::test]
async fn credentials_that_are_missing_or_wrong() {
    let refuses =
        || Does::Says(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n".into());
    let error = fails(refuses(), "").await;
    assert!(error.to_string().contains("set user and password"), "{error}");
    let error = fails(refuses(), &format!("someone:{PASSWORD}@")).await;
    assert!(error.to_string().contains("refuses the credentials"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_the_origin() {
    for status in [502, 403, 503, 101, 302] {
        let error = fails(Does::Says(format!("HTTP/1.1 {status} No\r\n\r\n").into()), "").await;
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_reply_to_connect() {
    let long = |head: &str| format!("HTTP/1.1 200 OK\r\nx: {}{head}", "y".repeat(70_000)).into_bytes();
    for garbage in [
        b"SSH-2.0-OpenSSH_9.7\r\n".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"HTTP/2 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 20 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1  200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"HTTP/1.1".to_vec(),
        b"".to_vec(),
        b"HTTP/1.1 200 OK\r\n\r\nearly".to_vec(),
        long(""),
        long("\r\n\r\n"),
    ] {
        fails(Does::Says(garbage), "").await;
    }
}

#[tokio::test]
async fn what_follows_the_head_is_not_taken_for_its_end() {
    for more in ["early", "early\r\n\r\n", "\r\n"] {
        let says = format!("HTTP/1.1 200 OK\r\n\r\n{more}").into_bytes();
        let refused = fails(Does::Says(says), "").await.to_string();
        assert!(refused.contains("into the tunnel"), "{more:?}: {refused}");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_is_left_after_the_connect_time() {
    let proxy = Proxy::start(Does::Hangs).await;
    let mut settings = TransportSettings::default();
    settings.connect_timeout = Duration::from_millis(50);
    let outcome = create(&client(settings, proxy.settings(""))).await;
    assert_eq!(outcome.class, Class::Unsent);
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::Timeout);
    assert!(proxy.head().starts_with("CONNECT"));
}

#[tokio::test]
async fn a_proxy_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let settings = ProxySettings::new(&format!("127.0.0.1:{port}")).unwrap();
    let outcome = create(&client(TransportSettings::default(), settings)).await;
    assert_eq!(outcome.class, Class::Unsent);
    let error = outcome.result.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Connect);
    assert!(error.to_string().contains("the proxy 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn bytes_to_the_proxy_are_no_bytes_of_the_request() {
    // Dropped while the proxy has the whole CONNECT and no tunnel is open.
    let proxy = Proxy::start(Does::Hangs).await;
    let client_of = |proxy: &Proxy, settings| client(settings, proxy.settings(""));
    let hanging = client_of(&proxy, TransportSettings::default());
    let clock = SystemClock::new();
    let attempt = create_to(ORIGIN, clock.now() + Duration::from_secs(10));
    let evidence = attempt.evidence().clone();
    let mut future = hanging.send(attempt);
    while proxy.head().is_empty() {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::task::yield_now().await;
    }
    drop(future);
    assert_eq!(evidence.class(), Class::Unsent);

    // Through the tunnel and TLS, then refused before the request's first byte.
    let authority = Authority::new();
    let tunnel = Does::Tunnel(origin(&authority).await, "HTTP/1.1 200 OK\r\n\r\n");
    let proxy = Proxy::start(tunnel).await;
    let mut settings = TransportSettings::default();
    settings.only_roots = authority.pem();
    let warmed = client_of(&proxy, settings);
    let mut late = create_to(ORIGIN, clock.now() + Duration::from_secs(10));
    warmed.warm(&late).await;
    late.permit(clock.now(), clock.now() - Duration::from_millis(1));
    let outcome = warmed.send(late).await;
    assert_eq!(outcome.class, Class::Unsent);
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::LatePermit);
    assert_eq!(create(&warmed).await.class, Class::Accepted);

    // A certificate that is refused inside the tunnel.
    let refused = create(&client_of(&proxy, TransportSettings::default())).await;
    assert_eq!((refused.class, refused.result.unwrap_err().kind()), (Class::Unsent, FailureKind::Tls));
}

/// Notes whom it was asked to connect to, and connects to nobody.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<String>>);

impl Dial for Noting {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        self.0.lock().unwrap().push(format!("{}:{}", origin.host(), origin.port()));
        Box::pin(async { Err(AttemptError::new(FailureKind::Connect, "noted")) })
    }
}

async fn dialled(settings: ProxySettings, origin: &str) -> String {
    let noting = Arc::new(Noting::default());
    let origin = origin.parse().unwrap();
    assert!(ProxyDial::new(settings, noting.clone()).connect(&origin).await.is_err());
    noting.0.lock().unwrap().concat()
}

fn variables(set: &[(&str, &str)]) -> Result<ProxySettings, trunkline_core_types::InputError> {
    ProxySettings::from_variables(|name| {
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[tokio::test]
async fn which_variable_sends_which_origin_where() {
    const A: &str = "http://a.example.org:3128";
    const B: &str = "b.example.org";
    let (voice, a, b) = ("https://voice.example.com", "a.example.org:3128", "b.example.org:80");
    for (set, origin, want) in [
        (&[][..], voice, "voice.example.com:443"),
        (&[("HTTPS_PROXY", A)], voice, a),
        (&[("https_proxy", B)], voice, b),
        (&[("HTTPS_PROXY", A), ("https_proxy", B)], voice, a),
        (&[("HTTPS_PROXY", " "), ("https_proxy", B)], voice, b),
        (&[("ALL_PROXY", A)], voice, a),
        (&[("all_proxy", B), ("HTTPS_PROXY", A)], voice, a),
        (&[("HTTP_PROXY", A), ("http_proxy", A)], voice, "voice.example.com:443"),
        (&[("HTTPS_PROXY", A), ("NO_PROXY", "example.com")], voice, "voice.example.com:443"),
        (&[("HTTPS_PROXY", A), ("no_proxy", ".example.com")], voice, "voice.example.com:443"),
        (&[("HTTPS_PROXY", A), ("NO_PROXY", "example.org")], voice, a),
        (
            &[("HTTPS_PROXY", A), ("ALL_PROXY", A), ("HTTP_PROXY", A)],
            "http://127.0.0.1:8080",
            "127.0.0.1:8080",
        ),
        (&[("ALL_PROXY", A)], "https://localhost:8443", "localhost:8443"),
        (&[("HTTPS_PROXY", "http://[2001:db8::1]:3128/")], voice, "[2001:db8::1]:3128"),
    ] {
        assert_eq!(dialled(variables(set).unwrap(), origin).await, want, "{set:?}");
    }
}

#[test]
fn a_proxy_that_cannot_work_is_refused_by_the_name_of_its_variable_and_never_shown() {
    let credentials = format!("someone:{PASSWORD}@");
    for url in [
        format!("https://{credentials}proxy.example.com"),
        format!("socks5://{credentials}proxy.example.com:1080"),
        format!("http://{credentials}"),
        format!("http://{credentials}proxy.example.com:0"),
        format!("http://{credentials}proxy.example.com:x"),
        format!("http://{credentials}proxy.example.com:"),
        format!("http://{credentials}proxy example.com"),
        format!("http://some%3Aone:{PASSWORD}@proxy.example.com"),
        format!("http://someone:{PASSWORD}%zz@proxy.example.com"),
        format!("http://someone:{PASSWORD}%2"),
    ] {
        let error = variables(&[("ALL_PROXY", &url)]).unwrap_err();
        assert_eq!(error.field(), "ALL_PROXY");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
        assert_eq!(ProxySettings::new(&url).unwrap_err().field(), "proxy");
    }
    let settings = ProxySettings::new(&format!("http://{credentials}proxy.example.com:3128")).unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("proxy.example.com") && shown.contains("REDACTED"), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("someone"), "{shown}");
    let error = variables(&[("HTTPS_PROXY", "p.example"), ("NO_PROXY", "10.0.0.0/99")]).unwrap_err();
    assert_eq!(error.field(), "NO_PROXY");
}

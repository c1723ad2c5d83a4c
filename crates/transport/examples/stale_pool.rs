//! Measures creates whose outcome is unknown because the server closed an idle connection: this client with each of its settings beside
//! hyper-util's pooled client, over loopback, in one run.
//!
//! The server closes each connection 5 ms after its reply; 8 clients wait 0 to 10 ms between their creates. Run it with
//! `cargo run --release -p trunkline-transport --example stale_pool -- 40000`, the number being the creates of each row.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trunkline_core_types::{
    Attempt, BoxFuture, Class, Clock, ClockExt, Deadline, Entropy, EntropyExt, HttpService, Idempotency,
    Intent, SeededEntropy, StatusOnly, SystemClock,
};
use trunkline_transport::{HttpClient, Reuse, TransportSettings};

type Failure = Box<dyn Error + Send + Sync>;

const CLIENTS: usize = 8;
const CLOSES_AFTER: Duration = Duration::from_millis(5);
const HALF: Duration = Duration::from_micros(2_500);
const BODY: &[u8] = b"{\"to\":\"x\"}";

fn main() -> Result<(), Failure> {
    let creates = std::env::args().nth(1).map_or(Ok(4_000), |count| count.parse())?;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || runtime()?.block_on(serve(&tell)));
    let server = told.recv()?;
    let runtime = runtime()?;
    println!("{:<44} {:>8} {:>9} {:>7} {:>12}", "client", "accepted", "ambiguous", "unsent", "of 10,000");
    for (name, sender) in rows(server)? {
        let tally = runtime.block_on(measure(creates, &sender))?;
        let rate = tally.ambiguous as f64 * 10_000.0 / creates as f64;
        let Tally { accepted, ambiguous, unsent } = tally;
        println!("{name:<44} {accepted:>8} {ambiguous:>9} {unsent:>7} {rate:>12.2}");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

type Sender = Arc<dyn Fn() -> BoxFuture<'static, Class> + Send + Sync>;

fn rows(server: SocketAddr) -> Result<Vec<(&'static str, Sender)>, Failure> {
    let long = Duration::from_secs(15);
    Ok(vec![
        ("ours: reuse always, idle 15 s (defaults)", ours(server, Reuse::Always, long)?),
        ("ours: reuse always, idle 2.5 ms", ours(server, Reuse::Always, HALF)?),
        ("ours: never for creates", ours(server, Reuse::NeverForCreates, long)?),
        ("ours: never", ours(server, Reuse::Never, long)?),
        ("hyper-util: default pool", theirs(server, &mut legacy::Client::builder(TokioExecutor::new()))),
        ("hyper-util: pool_idle_timeout 2.5 ms", {
            let mut builder = legacy::Client::builder(TokioExecutor::new());
            theirs(server, builder.pool_timer(TokioTimer::new()).pool_idle_timeout(HALF))
        }),
        ("hyper-util: no pool", {
            let mut builder = legacy::Client::builder(TokioExecutor::new());
            theirs(server, builder.pool_max_idle_per_host(0))
        }),
    ])
}

fn ours(server: SocketAddr, reuse: Reuse, idle: Duration) -> Result<Sender, Failure> {
    let mut settings = TransportSettings::default();
    (settings.reuse, settings.idle_timeout) = (reuse, idle);
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    let origin = format!("http://{server}").parse()?;
    let client = Arc::new(HttpClient::new(origin, settings, judge, clock.clone())?);
    let intent = Arc::new(Intent {
        key: "key".parse()?,
        account: "main".parse()?,
        detail: Bytes::new(),
        fence: SystemTime::UNIX_EPOCH,
    });
    Ok(Arc::new(move || {
        let (client, deadline) = (client.clone(), Deadline::At(clock.now() + Duration::from_secs(10)));
        let attempt = Attempt::create(request(server), intent.clone(), Idempotency::No, deadline);
        Box::pin(async move { client.send(attempt).await.class })
    }))
}

fn theirs(server: SocketAddr, builder: &mut legacy::Builder) -> Sender {
    let client: legacy::Client<HttpConnector, Full<Bytes>> = builder.build_http();
    Arc::new(move || {
        let reply = client.request(request(server).map(Full::new));
        Box::pin(async move {
            let response = match reply.await {
                Ok(response) => response,
                Err(error) if error.is_connect() => return Class::Unsent,
                // All that its caller can know: the request may have left.
                Err(_) => return Class::Ambiguous,
            };
            let _ = response.into_body().collect().await;
            Class::Accepted
        })
    })
}

fn request(server: SocketAddr) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(BODY));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::builder()
        .scheme("http")
        .authority(server.to_string())
        .path_and_query("/v1/calls")
        .build()
        .unwrap_or_default();
    request
}

#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    ambiguous: usize,
    unsent: usize,
}

async fn measure(creates: usize, sender: &Sender) -> Result<Tally, Failure> {
    let mut clients = tokio::task::JoinSet::new();
    for seed in 0..CLIENTS {
        let sender = sender.clone();
        clients.spawn(async move {
            let entropy = SeededEntropy::new(SeededEntropy::new(seed as u64).next());
            let (clock, mut tally) = (SystemClock::new(), Tally::default());
            for _ in 0..creates / CLIENTS {
                match sender().await {
                    Class::Accepted => tally.accepted += 1,
                    Class::Unsent => tally.unsent += 1,
                    _ => tally.ambiguous += 1,
                }
                let gap = Duration::from_micros(entropy.below(10_001));
                clock.sleep_until(clock.now() + gap).await;
            }
            tally
        });
    }
    let mut sum = Tally::default();
    while let Some(tally) = clients.join_next().await {
        let Tally { accepted, ambiguous, unsent } = tally?;
        sum.accepted += accepted;
        sum.ambiguous += ambiguous;
        sum.unsent += unsent;
    }
    Ok(sum)
}

async fn serve(tell: &std::sync::mpsc::Sender<SocketAddr>) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell.send(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

/// Answers each request; closes 5 ms after a reply without another.
async fn connection(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let clock = SystemClock::new();
    let (mut request, mut until) = (Vec::new(), clock.now() + Duration::from_secs(60));
    while let Some(read) = clock.bounded(until, stream.read_buf(&mut request)).await {
        if read? == 0 {
            return Ok(());
        }
        if request.ends_with(BODY) {
            request.clear();
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await?;
            until = clock.now() + CLOSES_AFTER;
        }
    }
    Ok(())
}

//! What a single thread cannot show: drops against the kernel and other threads, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, EntropyExt, HttpService, Idempotency, SeededEntropy, StatusOnly,
    SystemClock,
};
use trunkline_transport::{HttpClient, TransportSettings};

const REPLY: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";

/// Which of the numbered requests arrived whole: the server acts on those.
struct Acted(Vec<AtomicU64>);

impl Acted {
    fn mark(&self, number: usize) {
        self.0[number / 64].fetch_or(1 << (number % 64), Ordering::SeqCst);
    }

    fn contains(&self, number: usize) -> bool {
        self.0[number / 64].load(Ordering::SeqCst) & (1 << (number % 64)) != 0
    }
}

async fn serve(mut stream: TcpStream, acted: Arc<Acted>) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let number = head.split("/n/").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        acted.mark(number.parse().unwrap());
        buffer.drain(..end + 4);
        stream.write_all(REPLY).await?;
    }
}

fn client(addr: std::net::SocketAddr) -> HttpClient {
    let origin = format!("http://{addr}").parse().unwrap();
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(SystemClock::new()));
    HttpClient::new(origin, TransportSettings::default(), judge, clock).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_dropped_as_unsent_was_acted_on() {
    const DROPS: usize = 20_000;
    const TASKS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acted = Arc::new(Acted((0..DROPS.div_ceil(64)).map(|_| AtomicU64::new(0)).collect()));
    let book = acted.clone();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, book.clone()));
        }
    });
    let (client, next) = (Arc::new(client(addr)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (client, next) = (client.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let entropy = SeededEntropy::new(task as u64);
            let mut verdicts = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= DROPS {
                    return verdicts;
                }
                verdicts.push((number, drop_at_random(&client, addr, number, &entropy).await));
            }
        }));
    }
    let mut verdicts = Vec::new();
    for task in tasks {
        verdicts.extend(task.await.unwrap());
    }
    // Whatever is still under way arrives before its connection ends.
    drop(client);
    tokio::task::yield_now().await;
    server.abort();
    let wrong = verdicts.iter().filter(|(n, class)| *class == Class::Unsent && acted.contains(*n)).count();
    let missed =
        verdicts.iter().filter(|(n, class)| *class == Class::Accepted && !acted.contains(*n)).count();
    let count = |class| verdicts.iter().filter(|(_, seen)| *seen == class).count();
    println!(
        "unsent {}, ambiguous {}, accepted {}",
        count(Class::Unsent),
        count(Class::Ambiguous),
        count(Class::Accepted)
    );
    assert_eq!((wrong, missed), (0, 0));
    assert!(count(Class::Accepted) > 0 && count(Class::Unsent) + count(Class::Ambiguous) > 0);
}

/// Polls the attempt a random number of times, some of them after another thread had its turn, and drops it.
async fn drop_at_random(
    client: &HttpClient,
    addr: std::net::SocketAddr,
    number: usize,
    entropy: &SeededEntropy,
) -> Class {
    let request = Request::delete(format!("http://{addr}/n/{number}")).body(Bytes::new()).unwrap();
    let deadline = Deadline::At(SystemClock::new().now() + Duration::from_secs(20));
    let attempt = Attempt::change(request, Idempotency::No, deadline);
    let evidence = attempt.evidence().clone();
    let mut future = client.send(attempt);
    let mut polls = entropy.below(6);
    let done = std::future::poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(true);
        }
        if polls == 0 {
            return std::task::Poll::Ready(false);
        }
        polls -= 1;
        if polls.is_multiple_of(2) {
            cx.waker().wake_by_ref();
        }
        std::task::Poll::Pending
    });
    done.await;
    drop(future);
    evidence.class()
}

#[tokio::test]
async fn linger_zero_takes_back_what_the_kernel_had_accepted() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let request = Request::post(format!("http://{addr}/")).body(body.clone()).unwrap();
    let client = client(addr);
    let attempt = Attempt::change(
        request,
        Idempotency::No,
        Deadline::At(SystemClock::new().now() + Duration::from_millis(200)),
    );
    let accept = async { listener.accept().await.unwrap().0 };
    let (outcome, mut peer) = tokio::join!(client.send(attempt), accept);
    assert_eq!(outcome.class, Class::Ambiguous);
    // The peer reads only now: it gets what its own buffer holds, then the reset, never the whole request.
    let mut received = Vec::new();
    let end = peer.read_to_end(&mut received).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(received.len() < body.len());
}

#[tokio::test]
async fn a_refused_port_is_unsent() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let request = Request::get(format!("http://{addr}/")).body(Bytes::new()).unwrap();
    let deadline = Deadline::At(SystemClock::new().now() + Duration::from_secs(5));
    let outcome = client(addr).send(Attempt::read(request, deadline)).await;
    assert_eq!(outcome.class, Class::Unsent);
    assert_eq!(outcome.result.unwrap_err().kind(), trunkline_core_types::FailureKind::Connect);
}

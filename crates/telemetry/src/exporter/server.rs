//! A small HTTP/1.1 responder: `GET /metrics` and nothing else, each connection bounded in time and size.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use trunkline_core_types::Clock;

/// Scrapes at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// Of one connection, from accept to close.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of a request's head.
const HEAD: usize = 8 * 1024;
/// After a failed accept, for example for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped, and its connections with it.
pub(super) async fn serve(listener: TcpListener, page: PrometheusHandle, clock: Arc<dyn Clock>) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS {
            // One that ended, or the next to end; each does by its deadline.
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer(stream, page.clone());
                let deadline = clock.sleep_until(clock.now() + DEADLINE);
                connections.spawn(race(answer, deadline));
            }
            Err(_) => clock.sleep_until(clock.now() + PAUSE).await,
        }
    }
}

/// Ends with whichever ends first; the work is asked first.
async fn race(work: impl Future<Output = io::Result<()>>, deadline: impl Future<Output = ()>) {
    let (mut work, mut deadline) = (pin!(work), pin!(deadline));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        // A scraper that went away has no use for the error, and the next scrape tells the same.
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => deadline.as_mut().poll(cx),
    })
    .await;
}

async fn answer(mut stream: TcpStream, page: PrometheusHandle) -> io::Result<()> {
    let reply = match read_head(&mut stream).await? {
        None => reply("431 Request Header Fields Too Large", "", ""),
        Some(head) => respond(&head, &page),
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// The head of the request; `None` if it is too long.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD {
            return Ok(None);
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(head))
}

fn respond(head: &[u8], page: &PrometheusHandle) -> String {
    let line = head.split(|byte| *byte == b'\r').next().and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let path = target.and_then(|target| target.split('?').next());
    match (method, path, version.is_some_and(|version| version.starts_with("HTTP/1."))) {
        (Some("GET"), Some("/metrics"), true) => {
            reply("200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", &page.render())
        }
        (Some(_), Some("/metrics"), true) => reply("405 Method Not Allowed", "Allow: GET\r\n", ""),
        (_, Some(_), true) => reply("404 Not Found", "", "metrics are at /metrics\n"),
        _ => reply("400 Bad Request", "", ""),
    }
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

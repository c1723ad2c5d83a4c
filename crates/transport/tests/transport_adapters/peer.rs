//! A TCP peer on loopback that does one thing after each request, and what it received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nnice";

/// What follows the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request.
    Serve,
    Hang,
    Close,
    Reset,
}

/// Serves until it is dropped.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Reads whole requests and answers each with `reply`.
    pub(crate) async fn new(reply: &str, then: Then) -> Self {
        Self::scripted(&[reply], then).await
    }

    /// Answers the requests with one reply each, the last one for ever.
    pub(crate) async fn scripted(replies: &[&str], then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let book = received.clone();
        let replies: Arc<[String]> = replies.iter().map(|reply| reply.to_string()).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, replies.clone(), then, book.clone()));
            }
        });
        Self { addr, received, _tasks: tasks }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Whole requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.received.lock().unwrap().iter().map(|request| String::from_utf8_lossy(request).into()).collect()
    }
}

async fn serve(mut stream: TcpStream, replies: Arc<[String]>, then: Then, book: Arc<Mutex<Vec<Vec<u8>>>>) {
    while let Some(request) = read_request(&mut stream).await {
        let reply = {
            let mut book = book.lock().unwrap();
            book.push(request);
            &replies[book.len().min(replies.len()) - 1]
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
        match then {
            Then::Serve => {}
            Then::Hang => return std::future::pending().await,
            Then::Close => return,
            Then::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

/// A request of known length; `None` if the connection ends before one is whole.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let end = request.windows(4).position(|window| window == b"\r\n\r\n");
        if end.is_some_and(|end| request.len() >= end + 4 + content_length(&request[..end])) {
            return Some(request);
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
    value.map_or(0, |value| value.parse().unwrap())
}

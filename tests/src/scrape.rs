//! A scrape of an exporter's page over plain TCP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_core_types::{Clock, ClockExt, SystemClock};

/// The page at `/metrics`.
///
/// # Panics
/// If there is none.
pub async fn scrape(address: SocketAddr) -> String {
    let clock = SystemClock::new();
    clock.bounded(clock.now() + Duration::from_secs(10), read(address)).await.expect("a page within 10 s")
}

async fn read(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, page) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    page.to_owned()
}

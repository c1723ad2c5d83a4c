//! The server: as little as answers HTTP/1.1, so that the client is what is measured.

use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{machine, sample};

/// Serves on a free port of loopback until stdin closes.
pub(crate) fn run() -> Result<()> {
    machine::pin(1);
    std::thread::spawn(|| {
        // The parent's end is ours, however it ends.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().event_interval(1).build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot bind to loopback")?;
        println!("{}", listener.local_addr()?);
        tokio::spawn(stay_awake());
        let replies = Arc::new(Replies { ours: reply(sample::REPLY), telnyx: reply(sample::REPLY_TELNYX) });
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, replies.clone()));
        }
    })
}

/// Over loopback the client's own system call wakes a server that sleeps, which costs it microseconds, and the slower a client is the more
/// often it finds one asleep. Over a network a network card does that, so here nobody has to.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

struct Replies {
    ours: Vec<u8>,
    telnyx: Vec<u8>,
}

fn reply(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 201 Created\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-type: application/json\r\n\
         request-id: req_0000000001\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn connection(mut stream: TcpStream, replies: Arc<Replies>) {
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        if whole(&buffer) {
            let reply = if buffer.starts_with(b"POST /v2/") { &replies.telnyx } else { &replies.ours };
            buffer.clear();
            if stream.write_all(reply).await.is_err() {
                return;
            }
        }
    }
}

/// Whether a request is there with its whole body. No client of ours sends the next one before its reply.
fn whole(buffer: &[u8]) -> bool {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = &buffer[..end];
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:")
            .then(|| str::from_utf8(value).ok()?.trim().parse().ok())?
    });
    length.is_some_and(|length: usize| buffer.len() >= end + 4 + length)
}

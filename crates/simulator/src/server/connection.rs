//! One connection: requests in, answers out, resets on demand, and a deadline for a silent peer.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::line::{End, Line, Plan};
use crate::api::{Api, Received};
use crate::reply::{Answer, Reply};

/// From one reply to the whole next request, and from a reply to its last byte.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest body that is read.
const MAX_BODY: usize = 64 * 1024;
/// How much more is read and dropped, so that the 413 is not lost to a reset.
const MAX_DISCARD: usize = 1024 * 1024;
/// The longest head; above it hyper answers 431.
const MAX_HEAD: usize = 32 * 1024;

enum Turn {
    Ended,
    Stop,
    Deadline,
}

/// Serves one connection until either side ends it.
pub(super) async fn serve(stream: TcpStream, peer: IpAddr, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    // Without it a small reply waits for the peer's delayed acknowledgement; failing, it is only slower.
    let _ = stream.set_nodelay(true);
    let plan = Arc::new(Plan::new(api.clock.now() + PATIENCE));
    let service = service_fn(|request| one(request, peer, Arc::clone(&api), Arc::clone(&plan)));
    let mut http = http1::Builder::new();
    // Both are the injected clock's business.
    http.auto_date_header(false)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD)
        .header_read_timeout(None);
    let line = TokioIo::new(Line::new(stream, Arc::clone(&plan)));
    let mut connection = pin!(http.serve_connection(line, service));
    let mut stopped = pin!(stop.wait_for(|stopped| *stopped));
    let mut stopping = false;
    loop {
        let deadline = plan.deadline().unwrap_or_else(|| api.clock.now() + PATIENCE);
        let mut sleep = api.clock.sleep_until(deadline);
        let turn = poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Ended);
            }
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Stop);
            }
            sleep.as_mut().poll(cx).map(|()| Turn::Deadline)
        });
        match turn.await {
            Turn::Ended => return,
            Turn::Stop => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            Turn::Deadline if plan.deadline().is_some_and(|deadline| deadline <= api.clock.now()) => return,
            Turn::Deadline => {}
        }
    }
}

/// Why a request ends its connection without a reply.
#[derive(Debug)]
struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection ended on purpose")
    }
}

impl std::error::Error for Reset {}

async fn one(
    request: Request<Incoming>,
    peer: IpAddr,
    api: Arc<Api>,
    plan: Arc<Plan>,
) -> Result<Reply, Reset> {
    let arrived = api.clock.now();
    let (parts, body) = request.into_parts();
    let answer = match read(body).await? {
        Some(body) => {
            // From here to the reply the handler's own waits are the bound.
            plan.set_deadline(None);
            api.answer(Received { parts, body, peer, arrived }).await
        }
        None => Answer::Reply(api.too_large()),
    };
    plan.set_deadline(api.clock.now().checked_add(PATIENCE));
    match answer {
        Answer::Reply(reply) => Ok(reply),
        Answer::Cut(reply, body) => {
            plan.cut(body, End::Reset);
            Ok(reply)
        }
        Answer::Last(reply) => {
            let body = hyper::body::Body::size_hint(reply.body()).exact().unwrap_or(0);
            plan.cut(usize::try_from(body).unwrap_or(usize::MAX), End::Close);
            Ok(reply)
        }
        Answer::Reset => {
            plan.reset();
            Err(Reset)
        }
    }
}

/// The body, or `None` if it is too long.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, Reset> {
    let mut kept = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Reset)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > MAX_BODY + MAX_DISCARD {
            break;
        }
        if length <= MAX_BODY {
            kept.extend_from_slice(&data);
        }
    }
    Ok((length <= MAX_BODY).then(|| kept.freeze()))
}

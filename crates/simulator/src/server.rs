//! The listening socket and its connections. The accept task owns every connection task.

mod connection;
mod line;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;

/// The most connections at once; further ones wait unaccepted in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a graceful stop waits for replies that are under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Rest after a failed accept, for example without free file descriptors.
const REST: Duration = Duration::from_millis(100);

enum Event {
    Accepted(std::io::Result<(tokio::net::TcpStream, std::net::SocketAddr)>),
    Ended,
    Stop,
}

/// Accepts until `stop` is told, then lets the connections finish.
pub(crate) async fn run(listener: TcpListener, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        match next(&listener, &mut connections, &mut stop).await {
            Event::Accepted(Ok((stream, peer))) => {
                connections.spawn(connection::serve(stream, peer.ip(), Arc::clone(&api), stop.clone()));
            }
            Event::Accepted(Err(error)) => {
                tracing::warn!(%error, "accept failed");
                if let Some(until) = api.clock.now().checked_add(REST) {
                    api.clock.sleep_until(until).await;
                }
            }
            Event::Ended => {}
            Event::Stop => break,
        }
    }
    drop(listener);
    drain(&api, &mut connections).await;
}

/// What happens next; stopping comes first, then freeing room, then new connections.
async fn next(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    stop: &mut watch::Receiver<bool>,
) -> Event {
    let mut stopped = pin!(stop.wait_for(|stopped| *stopped));
    poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stop);
        }
        if let Poll::Ready(Some(_)) = connections.poll_join_next(cx) {
            return Poll::Ready(Event::Ended);
        }
        if connections.len() < MAX_CONNECTIONS {
            return listener.poll_accept(cx).map(Event::Accepted);
        }
        Poll::Pending
    })
    .await
}

async fn drain(api: &Api, connections: &mut JoinSet<()>) {
    let Some(until) = api.clock.now().checked_add(DRAIN) else { return };
    let mut deadline = api.clock.sleep_until(until);
    poll_fn(|cx| {
        while let Poll::Ready(ended) = connections.poll_join_next(cx) {
            if ended.is_none() {
                return Poll::Ready(());
            }
        }
        deadline.as_mut().poll(cx)
    })
    .await;
}

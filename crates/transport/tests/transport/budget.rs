//! A task that has used up tokio's budget, as one that places many calls does: an attempt leaves in the poll that checked its permit.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use trunkline_core_types::{Class, Clock, HttpService, SystemClock};

use crate::scripted::{CREATED, Script, create_to, exhausted};
use crate::sockets::{Over, Sockets};

/// Between two polls other tasks run for as long as they like, and nobody looks at the permit again.
#[tokio::test]
async fn a_request_leaves_in_its_first_poll_over_tcp_and_tls() {
    for over in [Over::Tcp, Over::Tls] {
        let peer = Sockets::new(over, Script::replies(CREATED));
        let create = || create_to(&peer.url, SystemClock::new().now() + Duration::from_secs(20));
        assert_eq!(peer.client.send(create()).await.class, Class::Accepted);
        peer.gate.hold(usize::MAX, 0);
        let mut sent = pin!(peer.client.send(create()));
        exhausted(poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx).is_pending()))).await;
        assert!(peer.gate.passed() > 0, "{over:?}");
        assert_eq!(sent.await.class, Class::Accepted);
    }
}

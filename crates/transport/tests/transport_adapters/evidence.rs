//! The table of evidence over both leaves: as our own client's, as far as a body tells.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use tokio::net::TcpListener;
use trunkline_core_types::{
    Attempt, Class, Clock, Evidence, FailureKind, HttpService, Progress, Scope, SystemClock,
};
use trunkline_transport::TransportSettings;

use crate::leaves::{delete, kind, leaves, post, post_of, refusing, short, until};
use crate::peer::{CREATED, Peer, Then};

#[tokio::test]
async fn refused_connection_is_unsent() {
    let origin = refusing().await;
    for leaf in leaves(&origin, TransportSettings::default()) {
        let outcome = leaf.send(post(&origin)).await;
        assert_eq!(outcome.class, Class::Unsent, "{leaf:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_request_arrives_once_with_its_length_and_host() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    for leaf in leaves(&peer.origin(), TransportSettings::default()) {
        let attempt = post(&peer.origin());
        let evidence = attempt.evidence().clone();
        let outcome = leaf.send(attempt).await;
        assert_eq!((outcome.class, evidence.class()), (Class::Accepted, Class::Accepted), "{leaf:?}");
        assert_eq!(evidence.progress(), Progress::Complete);
        assert_eq!(outcome.result.unwrap().body().as_ref(), b"nice");
    }
    let requests = peer.requests();
    assert_eq!(requests.len(), 2);
    for request in requests.iter().map(|request| request.to_ascii_lowercase()) {
        assert!(request.starts_with("post /payments?token=canary http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\ncontent-length: 12\r\n"), "{request}");
        assert!(request.contains(&format!("\r\n{HOST}: {}\r\n", peer.addr)), "{request}");
        assert!(!request.contains("transfer-encoding"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"amount\":7}"), "{request}");
    }
}

#[tokio::test]
async fn a_pooled_connection_serves_again() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    for leaf in leaves(&peer.origin(), TransportSettings::default()) {
        for _ in 0..5 {
            assert_eq!(leaf.send(post(&peer.origin())).await.class, Class::Accepted, "{leaf:?}");
        }
    }
    assert_eq!(peer.requests().len(), 10);
}

#[tokio::test]
async fn silence_after_the_request_is_ambiguous_after_the_read_time() {
    let peer = Peer::new("", Then::Hang).await;
    for leaf in leaves(&peer.origin(), short()) {
        let attempt = post(&peer.origin());
        let evidence = attempt.evidence().clone();
        let outcome = leaf.send(attempt).await;
        assert_eq!(
            (outcome.class, kind(&outcome)),
            (Class::Ambiguous, Some(FailureKind::Timeout)),
            "{leaf:?}"
        );
        assert_eq!((evidence.class(), evidence.progress()), (Class::Ambiguous, Progress::Part));
    }
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_reply() {
    let peer = Peer::new("", Then::Hang).await;
    for leaf in leaves(&peer.origin(), TransportSettings::default()) {
        let clock = SystemClock::new();
        let mut attempt = post(&peer.origin());
        let request = attempt.take_request();
        let until = until(Duration::from_millis(100));
        let outcome = leaf.send(Attempt::change(request, attempt.idempotency(), until)).await;
        assert_eq!(
            (outcome.class, kind(&outcome)),
            (Class::Ambiguous, Some(FailureKind::Timeout)),
            "{leaf:?}"
        );
        assert!(clock.now() >= until.ends_by());
    }
}

#[tokio::test]
async fn blocked_write_and_timeout_is_ambiguous() {
    // Nobody reads, and the body is longer than what the kernel takes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    for leaf in leaves(&origin, short()) {
        let attempt = post_of(&origin, vec![b'x'; 32 << 20].into());
        let outcome = leaf.send(attempt).await;
        assert_eq!(
            (outcome.class, kind(&outcome)),
            (Class::Ambiguous, Some(FailureKind::Timeout)),
            "{leaf:?}"
        );
    }
}

#[tokio::test]
async fn reply_cut_at_every_byte() {
    let head = CREATED.find("\r\n\r\n").unwrap() + 4;
    for cut in 0..CREATED.len() {
        for end in [Then::Reset, Then::Close] {
            let peer = Peer::new(&CREATED[..cut], end).await;
            for leaf in leaves(&peer.origin(), TransportSettings::default()) {
                let outcome = leaf.send(post(&peer.origin())).await;
                // A reset may overtake what was written before it, also a whole head.
                let want = if outcome.status().is_some() { Class::Accepted } else { Class::Ambiguous };
                assert_eq!(outcome.class, want, "{leaf:?}: {cut} bytes, then {end:?}");
                assert!(outcome.result.is_err());
                assert!(end == Then::Reset || outcome.status().is_some() == (cut >= head), "{cut}");
            }
            assert_eq!(peer.requests().len(), 2, "{cut} bytes, then {end:?}");
        }
    }
}

#[tokio::test]
async fn heads_decide_the_class() {
    for (status, want) in [
        ("200", Class::Accepted),
        ("204", Class::Accepted),
        ("302", Class::Ambiguous),
        ("307", Class::Ambiguous),
        ("400", Class::Rejected(Scope::Call)),
        ("401", Class::Rejected(Scope::Account)),
        ("408", Class::Ambiguous),
        ("429", Class::Rejected(Scope::Call)),
        ("500", Class::Ambiguous),
    ] {
        let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n");
        let peer = Peer::new(&reply, Then::Serve).await;
        for leaf in leaves(&peer.origin(), TransportSettings::default()) {
            assert_eq!(leaf.send(post(&peer.origin())).await.class, want, "{leaf:?}: {status}");
        }
        // A 302 that is followed, or a 408 that is repeated, shows here.
        assert_eq!(peer.requests().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn interim_heads_are_skipped() {
    let reply = format!("HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{CREATED}");
    let whole = Peer::new(&reply, Then::Serve).await;
    let cut = Peer::new("HTTP/1.1 100 Continue\r\n\r\n", Then::Close).await;
    for (peer, want) in [(whole, Class::Accepted), (cut, Class::Ambiguous)] {
        for leaf in leaves(&peer.origin(), TransportSettings::default()) {
            assert_eq!(leaf.send(post(&peer.origin())).await.class, want, "{leaf:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_ambiguous() {
    for reply in ["hello, who is there?\r\n\r\n", "HTTP/1.1 2xx\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let peer = Peer::new(reply, Then::Serve).await;
        for leaf in leaves(&peer.origin(), TransportSettings::default()) {
            assert_eq!(leaf.send(post(&peer.origin())).await.class, Class::Ambiguous, "{leaf:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_reply_above_the_bound_keeps_the_class_of_its_head() {
    let mut settings = TransportSettings::default();
    settings.max_reply = 3;
    let chunked = "HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    for (reply, want) in [(CREATED, Class::Accepted), (chunked, Class::Rejected(Scope::Call))] {
        let peer = Peer::new(reply, Then::Serve).await;
        for leaf in leaves(&peer.origin(), settings.clone()) {
            let outcome = leaf.send(post(&peer.origin())).await;
            assert_eq!((outcome.class, kind(&outcome)), (want, Some(FailureKind::ReplyTooLarge)), "{leaf:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_accepted_after_the_head() {
    let peer = Peer::new("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nnice", Then::Hang).await;
    for leaf in leaves(&peer.origin(), short()) {
        let outcome = leaf.send(post(&peer.origin())).await;
        assert_eq!(
            (outcome.class, kind(&outcome)),
            (Class::Accepted, Some(FailureKind::Timeout)),
            "{leaf:?}"
        );
        assert_eq!(outcome.status().unwrap(), 201);
    }
}

/// Polls `send` until `enough`, then drops it; gives what the evidence says then.
async fn dropped_when(
    leaf: &dyn HttpService,
    attempt: Attempt,
    enough: impl Fn(&Evidence) -> bool,
) -> Evidence {
    let evidence = attempt.evidence().clone();
    let mut future = leaf.send(attempt);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        if enough(&evidence) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    drop(future);
    evidence
}

#[tokio::test]
async fn a_dropped_future_is_unsent_until_the_body_is_asked_for() {
    let (silent, begun) = (
        Peer::new("", Then::Hang).await,
        Peer::new("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nnice", Then::Hang).await,
    );
    for leaf in leaves(&silent.origin(), TransportSettings::default()) {
        let evidence = dropped_when(&*leaf, post(&silent.origin()), |seen| {
            assert_eq!(seen.class(), Class::Ambiguous, "live reads as ambiguous");
            true
        })
        .await;
        assert_eq!(evidence.class(), Class::Unsent, "{leaf:?}: nothing but the caller has run");
        let before = silent.requests().len();
        let evidence =
            dropped_when(&*leaf, post(&silent.origin()), |_| silent.requests().len() > before).await;
        assert_eq!(evidence.class(), Class::Ambiguous, "{leaf:?}");
    }
    for leaf in leaves(&begun.origin(), TransportSettings::default()) {
        let head = |evidence: &Evidence| evidence.progress() == Progress::Head;
        let evidence = dropped_when(&*leaf, post(&begun.origin()), head).await;
        assert_eq!(evidence.class(), Class::Accepted, "{leaf:?}");
    }
}

#[tokio::test]
async fn an_empty_body_is_ambiguous_once_it_is_handed_over() {
    let silent = Peer::new("", Then::Hang).await;
    for leaf in leaves(&silent.origin(), TransportSettings::default()) {
        let evidence = dropped_when(&*leaf, delete(&silent.origin()), |_| true).await;
        assert_eq!(evidence.class(), Class::Ambiguous, "{leaf:?}");
    }
    let serving = Peer::new(CREATED, Then::Serve).await;
    for leaf in leaves(&serving.origin(), TransportSettings::default()) {
        assert_eq!(leaf.send(delete(&serving.origin())).await.class, Class::Accepted, "{leaf:?}");
    }
}

#[tokio::test]
async fn a_permit_or_deadline_that_is_over_costs_no_connection() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    let past = SystemClock::new().now();
    for leaf in leaves(&peer.origin(), TransportSettings::default()) {
        for attempt in [post(&peer.origin()), delete(&peer.origin())] {
            let mut late = attempt;
            late.permit(past, past);
            let outcome = leaf.send(late).await;
            assert_eq!(
                (outcome.class, kind(&outcome)),
                (Class::Unsent, Some(FailureKind::LatePermit)),
                "{leaf:?}"
            );
        }
        let mut attempt = post(&peer.origin());
        let request = attempt.take_request();
        let over = Attempt::change(request, attempt.idempotency(), until(Duration::ZERO));
        let outcome = leaf.send(over).await;
        assert_eq!((outcome.class, kind(&outcome)), (Class::Unsent, Some(FailureKind::Timeout)), "{leaf:?}");
    }
    assert_eq!(peer.requests(), [""; 0]);
}

#[tokio::test]
async fn another_origin_or_a_head_too_long_is_refused_before_a_connection() {
    let peer = Peer::new(CREATED, Then::Serve).await;
    for leaf in leaves(&peer.origin(), TransportSettings::default()) {
        let mut long = post(&peer.origin());
        let value = vec![b'x'; 40 << 10];
        for name in ["x-one", "x-two"] {
            long.request_mut().headers_mut().insert(name, value[..].try_into().unwrap());
        }
        let elsewhere = post_of("http://127.0.0.1:9", Bytes::from_static(b"x"));
        for attempt in [long, elsewhere] {
            let outcome = leaf.send(attempt).await;
            assert_eq!(
                (outcome.class, kind(&outcome)),
                (Class::Unsent, Some(FailureKind::Request)),
                "{leaf:?}"
            );
        }
    }
    assert_eq!(peer.requests(), [""; 0]);
}

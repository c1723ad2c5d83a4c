//! Reset and closed at every byte of the request and of the reply, over every carrier.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use trunkline_core_types::{
    Attempt, Class, Clock, Deadline, FailureKind, HttpService, Idempotency, Outcome, Progress, SystemClock,
    VirtualClock,
};

use crate::scripted::{CREATED, Script, ScriptedDial, Then, URL, client, request};
use crate::sockets::{Over, Sockets};

const ENDS: [Then; 2] = [Then::Reset, Then::Close];

/// A create, a request without a body, and one whose head is above every buffer.
fn requests(url: &str) -> [Request<Bytes>; 3] {
    let bare = Request::delete(url).body(Bytes::new()).unwrap();
    let long = Request::delete(url).header("x-long", "y".repeat(100_000)).body(Bytes::new()).unwrap();
    [request(url), bare, long]
}

fn change(request: Request<Bytes>, clock: &dyn Clock) -> Attempt {
    Attempt::change(request, Idempotency::No, Deadline::At(clock.now() + Duration::from_secs(20)))
}

async fn scripted(request: &Request<Bytes>, script: Script) -> (Outcome, Progress, usize) {
    let dial = ScriptedDial::new([script]);
    let attempt = change(request.clone(), &VirtualClock::new());
    let evidence = attempt.evidence().clone();
    let outcome = client(dial.clone()).send(attempt).await;
    let length = dial.connection(0).lock().unwrap().received.len();
    (outcome, evidence.progress(), length)
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_a_request_over_scripted_io() {
    for request in requests(URL) {
        let (whole, progress, length) = scripted(&request, Script::replies(CREATED)).await;
        assert_eq!((whole.class, progress), (Class::Accepted, Progress::Complete));
        let step = if length > 1000 { 2003 } else { 1 };
        for taken in (0..length).filter(|taken| taken % step == 0 || *taken < 5 || taken + 5 > length) {
            for end in ENDS {
                let (outcome, progress, received) = scripted(&request, Script::takes(taken, end)).await;
                let want = match taken {
                    0 => (Class::Unsent, Progress::Connected),
                    _ => (Class::Ambiguous, Progress::Part),
                };
                assert_eq!((outcome.class, progress, received), (want.0, want.1, taken), "{end:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_a_reply_over_scripted_io() {
    for request in requests(URL) {
        for cut in 0..CREATED.len() {
            for end in ENDS {
                let script = Script { read_then: end, ..Script::replies(&CREATED[..cut]) };
                let (outcome, progress, _) = scripted(&request, script).await;
                check_cut(cut, &outcome, progress, end);
            }
        }
    }
}

fn check_cut(cut: usize, outcome: &Outcome, progress: Progress, end: Then) {
    let head = CREATED.find("\r\n\r\n").unwrap() + 4;
    let want =
        if cut < head { (Class::Ambiguous, Progress::Whole) } else { (Class::Accepted, Progress::Head) };
    assert_eq!((outcome.class, progress), want, "{cut} bytes, then {end:?}");
    assert_eq!(outcome.status().is_some(), cut >= head);
    let kind = outcome.result.as_ref().unwrap_err().kind();
    assert_eq!(kind, if cut < head { FailureKind::Connection } else { FailureKind::Truncated });
}

/// One attempt on a connection that was up before it.
async fn attempt(peer: &Sockets, script: Script) -> (Outcome, Progress) {
    peer.rescript(script.clone());
    let attempt = change(request(&peer.url), &SystemClock::new());
    let evidence = attempt.evidence().clone();
    peer.client.warm(&attempt).await;
    peer.gate.hold(script.takes, 0);
    let outcome = peer.client.send(attempt).await;
    (outcome, evidence.progress())
}

async fn every_byte_of_a_request(over: Over, step: usize) {
    let peer = Sockets::new(over, Script::replies(CREATED));
    attempt(&peer, Script::replies(CREATED)).await;
    let length = peer.gate.passed();
    // Under TLS these are bytes of the encrypted record: the peer can read none of it before the last.
    for taken in (0..length).filter(|taken| taken % step == 0 || *taken < 5 || taken + 3 > length) {
        for end in ENDS {
            let (outcome, progress) = attempt(&peer, Script::takes(taken, end)).await;
            let want = match taken {
                0 => (Class::Unsent, Progress::Connected),
                _ => (Class::Ambiguous, Progress::Part),
            };
            assert_eq!((outcome.class, progress), want, "{taken} bytes, then {end:?}: {outcome:?}");
            assert_eq!((peer.gate.passed(), peer.book().requests), (taken, 0));
        }
    }
}

async fn every_byte_of_a_reply(over: Over) {
    let peer = Sockets::new(over, Script::replies(CREATED));
    for cut in 0..CREATED.len() {
        for end in ENDS {
            let script = Script { read_then: end, ..Script::replies(&CREATED[..cut]) };
            let (outcome, progress) = attempt(&peer, script).await;
            check_cut(cut, &outcome, progress, end);
            assert_eq!(peer.book().requests, 1);
        }
    }
}

#[tokio::test]
async fn every_byte_of_a_request_over_tcp() {
    every_byte_of_a_request(Over::Tcp, 1).await;
}

#[tokio::test]
async fn bytes_of_a_request_over_tls() {
    every_byte_of_a_request(Over::Tls, 7).await;
}

#[tokio::test]
async fn every_byte_of_a_reply_over_tcp() {
    every_byte_of_a_reply(Over::Tcp).await;
}

#[tokio::test]
async fn every_byte_of_a_reply_over_tls() {
    every_byte_of_a_reply(Over::Tls).await;
}

//! Connections: reuse, bounds, deadlines, stopping.

use std::time::Duration;

use tokio::net::TcpStream;
use trunkline_simulator::{Fault, Simulator};

use crate::client::{BODY, Client, HandClock, ask, bearer, create, request};

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::connect(&simulator).await;
    for n in 0..5 {
        let headers = bearer(&simulator, &format!("Idempotency-Key: k{n}"));
        assert_eq!(client.ask("POST /v1/calls", &headers, BODY).await.unwrap().status, 201);
    }
}

#[tokio::test]
async fn a_chunked_body_is_read() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::connect(&simulator).await;
    let lines = bearer(&simulator, "Transfer-Encoding: chunked").replace('\n', "\r\n");
    let text = format!(
        "POST /v1/calls HTTP/1.1\r\nHost: s\r\n{lines}\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n",
        BODY.len()
    );
    client.send(text.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 201);
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_no_more() {
    let simulator = Simulator::start().await.unwrap();
    let padded = |length: usize| format!("{BODY}{}", " ".repeat(length - BODY.len()));
    assert_eq!(create(&simulator, "", &padded(64 * 1024)).await.unwrap().status, 201);
    for length in [64 * 1024 + 1, 1024 * 1024] {
        let answer = create(&simulator, "", &padded(length)).await.unwrap();
        assert_eq!(
            (answer.status, answer.error()),
            (413, ("invalid_request".into(), "body".into())),
            "{length}"
        );
        assert!(answer.header("request-id").is_some());
    }
    assert_eq!(simulator.book().calls, 1);
}

#[tokio::test]
async fn a_head_is_bounded() {
    let simulator = Simulator::start().await.unwrap();
    let answer =
        ask(&simulator, "GET /v1/calls", &format!("X-Long: {}", "a".repeat(40_000)), "").await.unwrap();
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_silent_or_slow_peer_is_given_up() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    let whole = request("POST /v1/calls", &bearer(&simulator, ""), BODY);
    for part in [0, 20, whole.len() - 1] {
        let mut client = Client::connect(&simulator).await;
        client.send(&whole.as_bytes()[..part]).await.unwrap();
        clock.sleepers(0).await;
        clock.advance(Duration::from_secs(30));
        assert!(client.answer().await.is_err(), "{part} bytes");
    }
    assert_eq!(simulator.book().calls, 0);
}

#[tokio::test]
async fn a_reply_may_take_longer_than_a_request() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    simulator.fault_next(Fault::Slow(Duration::from_secs(60)));
    let mut client = Client::connect(&simulator).await;
    client.send(request("POST /v1/calls", &bearer(&simulator, ""), BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        // Its reply and its connection's watch.
        clock.sleepers(1).await;
        clock.advance(Duration::from_secs(30));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(client.answer().await.unwrap().status, 201);
}

#[tokio::test]
async fn latency_delays_every_reply_and_no_ring() {
    let clock = HandClock::new();
    let builder = Simulator::builder().latency(Duration::from_secs(1));
    let simulator = builder.clock(clock.clone()).start().await.unwrap();
    for line in ["POST /v1/calls", "GET /v1/calls"] {
        let mut client = Client::connect(&simulator).await;
        client.send(request(line, &bearer(&simulator, ""), BODY).as_bytes()).await.unwrap();
        // Its reply and its connection's watch.
        clock.sleepers(1).await;
        assert_eq!(simulator.book().calls, 1, "{line}");
        clock.advance(Duration::from_millis(999));
        clock.sleepers(1).await;
        clock.advance(Duration::from_millis(1));
        assert!(client.answer().await.unwrap().status < 300, "{line}");
    }
}

#[tokio::test]
async fn stop_lets_replies_finish_and_closes_the_rest() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    let mut idle = Client::connect(&simulator).await;
    assert_eq!(idle.ask("GET /_health", "", "").await.unwrap().status, 200);
    simulator.fault_next(Fault::Slow(Duration::from_secs(1)));
    let mut slow = Client::connect(&simulator).await;
    slow.send(request("POST /v1/calls", &bearer(&simulator, ""), BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    let addr = simulator.addr();
    let stopping = tokio::spawn(simulator.stop());
    assert!(idle.answer().await.is_err());
    clock.advance(Duration::from_secs(1));
    assert_eq!(slow.answer().await.unwrap().status, 201);
    stopping.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn stop_gives_up_after_its_time() {
    let clock = HandClock::new();
    let simulator = Simulator::builder().clock(clock.clone()).start().await.unwrap();
    simulator.fault_next(Fault::Slow(Duration::from_secs(3600)));
    let mut slow = Client::connect(&simulator).await;
    slow.send(request("POST /v1/calls", &bearer(&simulator, ""), BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(simulator.stop());
    clock.sleepers(2).await;
    clock.advance(Duration::from_secs(5));
    stopping.await.unwrap();
    assert!(slow.answer().await.is_err());
}

#[tokio::test]
async fn dropping_ends_everything_at_once() {
    let simulator = Simulator::builder().clock(HandClock::new()).start().await.unwrap();
    let addr = simulator.addr();
    let mut idle = Client::connect(&simulator).await;
    assert_eq!(idle.ask("GET /_health", "", "").await.unwrap().status, 200);
    simulator.fault_next(Fault::Slow(Duration::from_secs(1)));
    let mut slow = Client::connect(&simulator).await;
    slow.send(request("POST /v1/calls", &bearer(&simulator, ""), BODY).as_bytes()).await.unwrap();
    while simulator.book().calls == 0 {
        tokio::task::yield_now().await;
    }
    drop(simulator);
    assert!(idle.answer().await.is_err());
    assert!(slow.answer().await.is_err());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[test]
fn handles_move_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Simulator>();
    shared::<trunkline_simulator::SimulatorBuilder>();
    shared::<trunkline_simulator::StartError>();
}

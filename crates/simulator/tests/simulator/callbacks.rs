//! Events to a callback URL: in order, signed, repeated until 2xx; late, twice, reordered and lost on demand.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trunkline_core_types::{Clock, ClockExt, SystemClock};
use trunkline_simulator::{CallLife, CallbackFault, CallbackFaults, Simulator, SimulatorBuilder};

use crate::client::{BODY, HandClock, ask, create};

/// Somebody else's server: takes one request a connection and answers as told.
struct Receiver(TcpListener);

struct Got {
    head: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    fn id(&self) -> String {
        self.json()["event_id"].as_str().unwrap().to_owned()
    }

    fn is_signed(&self, secret: &str) -> bool {
        let header = self.head.lines().find_map(|line| line.strip_prefix("x-signature: sha256=")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(self.body.as_bytes());
        header == mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    }
}

impl Receiver {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// A create whose events come here.
    fn body(&self) -> String {
        let url = format!("http://{}/events?trunkline_key=K", self.0.local_addr().unwrap());
        BODY.replace('}', &format!(r#","callback_url":"{url}"}}"#))
    }

    async fn answer(&self, status: u16) -> Got {
        let clock = SystemClock::new();
        let got = clock.bounded(clock.now() + Duration::from_secs(20), self.take(status)).await;
        got.expect("an event comes").unwrap()
    }

    async fn take(&self, status: u16) -> io::Result<Got> {
        let (mut stream, _) = self.0.accept().await?;
        let got = request(&mut stream).await?;
        let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(reply.as_bytes()).await?;
        Ok(got)
    }

    async fn kinds(&self, count: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        for _ in 0..count {
            kinds.push(self.answer(204).await.kind());
        }
        kinds
    }

    /// Whether a connection is waiting now.
    async fn is_quiet(&self) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        poll_fn(|cx| std::task::Poll::Ready(self.0.poll_accept(cx).is_pending())).await
    }
}

async fn request(stream: &mut TcpStream) -> io::Result<Got> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse::<usize>().unwrap() {
                return Ok(Got { head: head.to_owned(), body: body.to_owned() });
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Waits until the simulator has noted so many acknowledged events.
async fn acknowledged(simulator: &Simulator, count: u64) {
    while simulator.book().events_acknowledged < count {
        tokio::task::yield_now().await;
    }
}

async fn started(change: impl FnOnce(SimulatorBuilder) -> SimulatorBuilder) -> (Simulator, Arc<HandClock>) {
    let clock = HandClock::new();
    let simulator = change(Simulator::builder().clock(clock.clone()).seed(1)).start().await.unwrap();
    (simulator, clock)
}

#[tokio::test]
async fn the_events_of_a_call_come_in_order_signed_and_under_its_key() {
    let (simulator, clock) = started(|builder| builder).await;
    let receiver = Receiver::new().await;
    let call = create(&simulator, "K", &receiver.body()).await.unwrap().json();
    let mut ids = Vec::new();
    for (n, (wait, kind, at)) in [
        (1, "call.queued", "00"),
        (4, "call.ringing", "01"),
        (20, "call.answered", "05"),
        (0, "call.completed", "25"),
    ]
    .into_iter()
    .enumerate()
    {
        let got = receiver.answer(200).await;
        let event = got.json();
        assert!(got.head.starts_with("POST /events?trunkline_key=K HTTP/1.1"), "{}", got.head);
        assert!(got.is_signed(simulator.signing_secret()) && !got.is_signed("another"));
        assert_eq!((got.kind().as_str(), &event["call"]["call_id"]), (kind, &call["call_id"]));
        assert_eq!(format!("call.{}", event["call"]["status"].as_str().unwrap()), kind);
        assert_eq!(event["call"]["idempotency_key"], "K");
        assert_eq!(event["created"], format!("2026-01-31T08:00:{at}Z"));
        assert!(!got.body.contains("4155550"), "no number travels in an event");
        ids.push(got.id());
        acknowledged(&simulator, n as u64 + 1).await;
        clock.advance(Duration::from_secs(wait));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each event has its own id");
    let book = simulator.book();
    assert_eq!((book.events_sent, book.events_acknowledged), (4, 4));
}

#[tokio::test]
async fn an_event_is_repeated_with_growing_pauses_until_2xx() {
    let (simulator, clock) = started(|builder| builder.life(slow())).await;
    let receiver = Receiver::new().await;
    create(&simulator, "K", &receiver.body()).await.unwrap();
    let mut got = vec![receiver.answer(500).await];
    for (pause, status) in [(1, 301), (2, 404), (4, 202)] {
        settle(&simulator, got.len() as u64).await;
        clock.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(receiver.is_quiet().await, "not before {pause} s");
        clock.advance(Duration::from_millis(1));
        got.push(receiver.answer(status).await);
    }
    acknowledged(&simulator, 1).await;
    assert!(got.iter().all(|one| one.body == got[0].body && one.is_signed(simulator.signing_secret())));
    let book = simulator.book();
    assert_eq!((book.events_sent, book.events_acknowledged), (4, 1));
}

/// A call that stays queued for the length of a test.
fn slow() -> CallLife {
    let mut life = CallLife::default();
    life.queued = Duration::from_secs(3600);
    life
}

/// Lets the sender note the end of its last send, which was answered before.
async fn settle(simulator: &Simulator, sends: u64) {
    assert_eq!(simulator.book().events_sent, sends);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_next_event_of_a_call_waits_for_the_answer_to_the_one_before() {
    let (simulator, clock) = started(|builder| builder).await;
    let receiver = Receiver::new().await;
    create(&simulator, "K", &receiver.body()).await.unwrap();
    let (mut stream, _) = receiver.0.accept().await.unwrap();
    assert_eq!(request(&mut stream).await.unwrap().kind(), "call.queued");
    // Less than the sender's patience, so only two steps.
    clock.advance(Duration::from_secs(5));
    assert!(receiver.is_quiet().await);
    stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
    assert_eq!(receiver.kinds(2).await, ["call.ringing", "call.answered"]);
}

#[tokio::test]
async fn a_hang_up_is_told_at_once_and_nothing_after_it() {
    let (simulator, clock) = started(|builder| builder).await;
    let receiver = Receiver::new().await;
    let call = create(&simulator, "", &receiver.body()).await.unwrap().json();
    assert_eq!(receiver.answer(204).await.kind(), "call.queued");
    acknowledged(&simulator, 1).await;
    let line = format!("DELETE /v1/calls/{}", call["call_id"].as_str().unwrap());
    ask(&simulator, &line, "", "").await.unwrap();
    let got = receiver.answer(204).await;
    assert_eq!((got.kind().as_str(), got.json()["call"].get("idempotency_key")), ("call.canceled", None));
    acknowledged(&simulator, 2).await;
    clock.advance(Duration::from_secs(100));
    assert!(receiver.is_quiet().await);
}

/// Waits until this fault has happened.
async fn happened(simulator: &Simulator, fault: &str) {
    while !simulator.book().faults.contains_key(fault) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn faults_come_on_demand() {
    // Lost: the others come all the same.
    let (simulator, clock) = started(|builder| builder).await;
    let receiver = Receiver::new().await;
    assert!(simulator.callback_fault_next(CallbackFault::Lost));
    assert!(simulator.callback_fault_next(CallbackFault::Twice));
    create(&simulator, "K", &receiver.body()).await.unwrap();
    happened(&simulator, "callback_lost").await;
    clock.advance(Duration::from_secs(1));
    let (one, two) = (receiver.answer(204).await, receiver.answer(204).await);
    assert_eq!((one.kind().as_str(), &one.body), ("call.ringing", &two.body), "twice, the same bytes");

    // Late: not before its time.
    let (simulator, clock) = started(|builder| builder.life(slow())).await;
    simulator.callback_fault_next(CallbackFault::Late(Duration::from_secs(9)));
    create(&simulator, "K", &receiver.body()).await.unwrap();
    happened(&simulator, "callback_late").await;
    clock.advance(Duration::from_secs(8));
    assert!(receiver.is_quiet().await);
    clock.advance(Duration::from_secs(1));
    assert_eq!(receiver.kinds(1).await, ["call.queued"]);

    // Reordered: behind the next one.
    let (simulator, clock) = started(|builder| builder).await;
    simulator.callback_fault_next(CallbackFault::Reordered);
    create(&simulator, "K", &receiver.body()).await.unwrap();
    happened(&simulator, "callback_reordered").await;
    clock.advance(Duration::from_secs(1));
    assert_eq!(receiver.kinds(1).await, ["call.ringing"]);
    clock.advance(Duration::from_millis(50));
    assert_eq!(receiver.kinds(1).await, ["call.queued"]);
}

#[tokio::test]
async fn nothing_goes_to_other_machines_and_what_is_refused_is_not_called() {
    let (simulator, _) = started(|builder| builder).await;
    for url in ["https://example.com/events", "https://127.0.0.1:1/events"] {
        let body = BODY.replace('}', &format!(r#","callback_url":"{url}"}}"#));
        assert_eq!(create(&simulator, "", &body).await.unwrap().status, 201);
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(simulator.book().events_sent, 0);
}

#[tokio::test]
async fn in_a_rotation_events_are_signed_with_the_secret_that_every_client_knows() {
    let (simulator, _) = started(|builder| builder.life(slow())).await;
    let receiver = Receiver::new().await;
    simulator.also_accept("new-key", "new-secret");
    create(&simulator, "a", &receiver.body()).await.unwrap();
    assert!(receiver.answer(204).await.is_signed(simulator.signing_secret()));
    let old = simulator.api_key().to_owned();
    create(&simulator, "b", &receiver.body()).await.unwrap();
    let got = receiver.answer(204).await;
    assert!(got.is_signed(simulator.signing_secret()));
    assert!(simulator.revoke(&old));
    let headers = "Authorization: Bearer new-key\nContent-Type: application/json";
    let mut client = crate::client::Client::connect(&simulator).await;
    client.ask("POST /v1/calls", headers, &receiver.body()).await.unwrap();
    assert!(receiver.answer(204).await.is_signed("new-secret"));
}

#[tokio::test]
async fn too_many_faults_are_bad_settings_and_a_stop_sends_nothing_more() {
    let mut faults = CallbackFaults::hostile();
    faults.lost = 900;
    let error = Simulator::builder().callback_faults(faults).start().await.unwrap_err();
    assert_eq!(error.field(), "callback_faults");
    let (simulator, clock) = started(|builder| builder).await;
    let receiver = Receiver::new().await;
    create(&simulator, "K", &receiver.body()).await.unwrap();
    assert_eq!(receiver.kinds(1).await, ["call.queued"]);
    simulator.stop().await;
    clock.advance(Duration::from_secs(100));
    assert!(receiver.is_quiet().await);
}

//! Bounds of a reply in size and time: what is just inside is taken, what drips is cut off at the deadline.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use trunkline_core_types::{
    AttemptError, BoxFuture, Class, Clock, FailureKind, HttpService, Origin, Outcome, StatusOnly,
    VirtualClock,
};
use trunkline_transport::{Dial, HttpClient, TransportSettings, Wire};

use crate::scripted::{BODY, CREATED, Script, ScriptedDial, Then, URL, client_with, create_within};

/// A peer that answers with this, one byte at a time and this long apart.
#[derive(Debug)]
struct Dripping {
    reply: Vec<u8>,
    gap: Duration,
}

impl Dial for Dripping {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        let (ours, theirs) = duplex(64 << 10);
        tokio::spawn(drip(theirs, self.reply.clone(), self.gap));
        Box::pin(async move { Ok(Box::new(Pipe(ours)) as Box<dyn Wire>) })
    }
}

async fn drip(mut stream: DuplexStream, reply: Vec<u8>, gap: Duration) -> io::Result<()> {
    let clock = VirtualClock::new();
    let mut request = Vec::new();
    while !request.ends_with(BODY) {
        request.push(stream.read_u8().await?);
    }
    for byte in reply {
        clock.sleep_until(clock.now() + gap).await;
        stream.write_u8(byte).await?;
    }
    clock.sleep_until(clock.now() + Duration::from_secs(86_400)).await;
    Ok(())
}

struct Pipe(DuplexStream);

impl Wire for Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buffer);
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut target));
        Poll::Ready(read.map(|()| target.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn abort(&mut self) {}
}

/// A create of at most 30 s against a dripping peer, and the seconds it took.
async fn dripping(reply: String, gap: Duration) -> (Outcome, f64) {
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
    let dial = Arc::new(Dripping { reply: reply.into_bytes(), gap });
    let settings = TransportSettings::default();
    let client = HttpClient::with_dial(URL.parse().unwrap(), settings, judge, clock.clone(), dial).unwrap();
    let started = clock.now();
    let outcome = client.send(create_within(Duration::from_secs(30))).await;
    (outcome, (clock.now() - started).as_secs_f64())
}

fn ended(outcome: Outcome) -> (Class, FailureKind) {
    (outcome.class, outcome.result.unwrap_err().kind())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_ends_with_the_read_time() {
    let head = format!("HTTP/1.1 201 Created\r\nx: {}\r\n\r\n", "y".repeat(1_000));
    let (outcome, seconds) = dripping(head, Duration::from_secs(1)).await;
    assert_eq!(ended(outcome), (Class::Ambiguous, FailureKind::Timeout));
    assert!((10.0..10.01).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn the_read_time_runs_from_the_last_byte_that_left() {
    let silent = [Script::replies(""), Script::replies("")];
    let slow = [Script::takes(60, Then::Hang), Script::replies(CREATED)];
    for (then, class, took) in [(silent, Class::Ambiguous, 19.0), (slow, Class::Accepted, 18.0)] {
        for taken in [0, 40] {
            let (dial, clock) = (ScriptedDial::new([Script::takes(taken, Then::Hang)]), VirtualClock::new());
            let client = client_with(dial.clone(), TransportSettings::default());
            let began = clock.now();
            let sent = async {
                let outcome = client.send(create_within(Duration::from_secs(30))).await;
                (outcome.class, (clock.now() - began).as_secs_f64())
            };
            let (ended, ()) = tokio::join!(sent, async {
                for script in then.clone() {
                    clock.sleep_until(clock.now() + Duration::from_secs(9)).await;
                    dial.connection(0).lock().unwrap().revive(script);
                }
            });
            assert!(ended.0 == class && (took..took + 0.01).contains(&ended.1), "{taken}: {ended:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_ends_with_the_deadline_and_stays_accepted() {
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        // 500 chunks of a byte, or 3,000 bytes of which 1,000 are body.
        let reply = format!("HTTP/1.1 201 Created\r\n{framing}\r\n\r\n{}", "1\r\nx\r\n".repeat(500));
        let (outcome, seconds) = dripping(reply, Duration::from_millis(100)).await;
        assert_eq!(ended(outcome), (Class::Accepted, FailureKind::Timeout), "{framing}");
        assert!((30.0..30.01).contains(&seconds), "{framing}: {seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_ends_in_time_is_read_to_its_end() {
    let reply = format!("HTTP/1.1 201 Created\r\ncontent-length: 3\r\nx: {}\r\n\r\nabc", "y".repeat(20));
    let (outcome, seconds) = dripping(reply, Duration::from_millis(100)).await;
    assert_eq!(outcome.result.unwrap().body().as_ref(), b"abc");
    assert!(seconds > 5.0, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_on_a_used_connection_has_its_own_time_and_not_that_of_the_one_before() {
    let reply = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
    for (allowed, took) in [(60.0, 10.0), (7.0, 7.0), (0.5, 0.5)] {
        let (dial, clock) = (ScriptedDial::new([Script::takes(0, Then::Hang)]), VirtualClock::new());
        let client = client_with(dial.clone(), TransportSettings::default());
        let after = |seconds| clock.sleep_until(clock.now() + Duration::from_secs_f64(seconds));
        let (first, ()) = tokio::join!(client.send(create_within(Duration::from_secs(20))), async {
            after(1.0).await;
            dial.connection(0).lock().unwrap().revive(Script::replies(reply));
        });
        assert_eq!(first.class, Class::Accepted);
        after(5.0).await;
        dial.connection(0).lock().unwrap().revive(Script::replies(""));
        let began = clock.now();
        let second = client.send(create_within(Duration::from_secs_f64(allowed))).await;
        assert_eq!((ended(second), dial.count()), ((Class::Ambiguous, FailureKind::Timeout), 1));
        let seconds = (clock.now() - began).as_secs_f64();
        assert!((took..took + 0.01).contains(&seconds), "{allowed} allowed, {seconds} taken");
    }
}

/// A create answered with a head of exactly this many bytes, and no body.
async fn head_of(bytes: usize, max_head: usize) -> Outcome {
    let around = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\nx: \r\n\r\n";
    let head = around.replace("x: ", &format!("x: {}", "y".repeat(bytes - around.len())));
    let mut settings = TransportSettings::default();
    settings.max_head = max_head;
    client_with(ScriptedDial::new([Script::replies(&head)]), settings)
        .send(create_within(Duration::from_secs(5)))
        .await
}

#[tokio::test(start_paused = true)]
async fn a_head_below_the_bound_is_read_and_one_of_twice_the_bound_is_not() {
    for max in [8 << 10, 64 << 10] {
        for inside in [100, max - 1] {
            let outcome = head_of(inside, max).await;
            assert_eq!((outcome.class, outcome.result.is_ok()), (Class::Accepted, true), "{inside} of {max}");
        }
        for above in [2 * max, 20 * max] {
            assert_eq!(
                ended(head_of(above, max).await),
                (Class::Ambiguous, FailureKind::Protocol),
                "{above} of {max}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_of_very_many_lines_is_not_read() {
    let head = format!("HTTP/1.1 201 Created\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(200));
    let dial = ScriptedDial::new([Script::replies(&head)]);
    let outcome =
        client_with(dial, TransportSettings::default()).send(create_within(Duration::from_secs(5))).await;
    assert_eq!(ended(outcome), (Class::Ambiguous, FailureKind::Protocol));
}

#[tokio::test(start_paused = true)]
async fn a_body_at_the_bound_is_read_and_one_above_it_keeps_its_class() {
    let reply = |bytes: usize| {
        format!("HTTP/1.1 201 Created\r\ncontent-length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
    };
    let of = async |bytes| {
        let dial = ScriptedDial::new([Script::replies(&reply(bytes))]);
        client_with(dial, TransportSettings::default()).send(create_within(Duration::from_secs(5))).await
    };
    assert_eq!(of(1 << 20).await.result.unwrap().body().len(), 1 << 20);
    assert_eq!(ended(of((1 << 20) + 1).await), (Class::Accepted, FailureKind::ReplyTooLarge));
}

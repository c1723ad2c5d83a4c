//! The pool as a safety setting: what it does to creates when a server closes connections by itself.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trunkline_core_types::{
    Attempt, AttemptError, BoxFuture, Class, Clock, Deadline, Entropy, EntropyExt, FailureKind, HttpService,
    Origin, SeededEntropy, StatusOnly, VirtualClock,
};
use trunkline_transport::{Dial, HttpClient, Reuse, TransportSettings, Wire};

use crate::scripted::{
    BODY, CREATED, Script, ScriptedDial, State, Then, URL, client_with, create, create_within, request,
};

const MS: Duration = Duration::from_millis(1);
const CLIENTS: u64 = 8;
const CREATES: usize = 20_000;

/// A server that closes each connection 5 ms after its reply, behind a network that takes 0 or 1 ms each way.
#[derive(Debug)]
struct ClosingDial {
    entropy: Arc<SeededEntropy>,
    connections: AtomicUsize,
    acted: Arc<AtomicUsize>,
}

impl ClosingDial {
    fn new(seed: u64) -> Arc<Self> {
        let entropy = Arc::new(SeededEntropy::new(seed));
        Arc::new(Self { entropy, connections: AtomicUsize::new(0), acted: Arc::default() })
    }
}

impl Dial for ClosingDial {
    fn connect<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let wire = ClosingWire {
            clock: VirtualClock::new(),
            entropy: self.entropy.clone(),
            acted: self.acted.clone(),
            received: Vec::new(),
            reply: None,
            closes: None,
            wakeup: None,
        };
        Box::pin(async move { Ok(Box::new(wire) as Box<dyn Wire>) })
    }
}

/// All that the client can see of the server, as instants of the past and the future.
struct ClosingWire {
    clock: VirtualClock,
    entropy: Arc<SeededEntropy>,
    acted: Arc<AtomicUsize>,
    received: Vec<u8>,
    /// When the reply arrives, and what is left of it.
    reply: Option<(Instant, &'static [u8])>,
    /// When the server closes, and when the client can see it.
    closes: Option<(Instant, Instant)>,
    wakeup: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl ClosingWire {
    fn latency(&self) -> Duration {
        MS * u32::try_from(self.entropy.below(2)).unwrap()
    }

    fn serve(&mut self) {
        let arrives = self.clock.now() + self.latency();
        if self.closes.is_some_and(|(closed, _)| arrives >= closed) {
            return;
        }
        self.acted.fetch_add(1, Ordering::Relaxed);
        self.reply = Some((arrives + self.latency(), CREATED.as_bytes()));
        let closed = arrives + 5 * MS;
        self.closes = Some((closed, closed + self.latency()));
    }

    fn wait(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.wakeup.as_ref().is_none_or(|(armed, _)| *armed != at) {
            self.wakeup = Some((at, self.clock.sleep_until(at)));
        }
        let (_, sleep) = self.wakeup.as_mut().unwrap();
        let _ = sleep.as_mut().poll(cx);
        Poll::Pending
    }
}

impl Wire for ClosingWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let now = self.clock.now();
        match (&mut self.reply, self.closes) {
            (Some((arrives, rest)), _) if *arrives <= now => {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                *rest = &rest[count..];
                if rest.is_empty() {
                    self.reply = None;
                }
                Poll::Ready(Ok(count))
            }
            (Some((arrives, _)), _) => {
                let at = *arrives;
                self.wait(at, cx)
            }
            (None, Some((_, seen))) if seen <= now => Poll::Ready(Ok(0)),
            (None, Some((_, seen))) => self.wait(seen, cx),
            (None, None) => Poll::Pending,
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.received.extend_from_slice(buffer);
        if self.received.ends_with(BODY) {
            self.received.clear();
            self.serve();
        }
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}
}

#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    ambiguous: usize,
    unsent: usize,
    connections: usize,
    acted: usize,
}

impl Tally {
    fn count(&mut self, class: Class) {
        // What is none of these shows as a sum that is too small.
        match class {
            Class::Accepted => self.accepted += 1,
            Class::Ambiguous => self.ambiguous += 1,
            Class::Unsent => self.unsent += 1,
            _ => {}
        }
    }
}

/// Creates by 8 clients with gaps of 0 to 10 ms, all through one pool.
async fn creates_against_a_closing_server(creates: usize, settings: TransportSettings) -> Tally {
    let dial = ClosingDial::new(7);
    let (judge, clock) = (Arc::new(StatusOnly::default()), Arc::new(VirtualClock::new()));
    let client =
        HttpClient::with_dial(URL.parse().unwrap(), settings, judge, clock.clone(), dial.clone()).unwrap();
    let (client, tally) = (Arc::new(client), Arc::new(Mutex::new(Tally::default())));
    let mut tasks = Vec::new();
    for seed in 0..CLIENTS {
        let (client, clock, tally) = (client.clone(), clock.clone(), tally.clone());
        tasks.push(tokio::spawn(async move {
            let entropy = SeededEntropy::new(SeededEntropy::new(seed).next());
            for _ in 0..creates / CLIENTS as usize {
                let class = client.send(create()).await.class;
                tally.lock().unwrap().count(class);
                let gap = MS * u32::try_from(entropy.below(11)).unwrap();
                clock.sleep_until(clock.now() + gap).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut tally = std::mem::take(&mut *tally.lock().unwrap());
    tally.connections = dial.connections.load(Ordering::Relaxed);
    tally.acted = dial.acted.load(Ordering::Relaxed);
    assert_eq!(tally.accepted + tally.ambiguous + tally.unsent, creates);
    tally
}

fn settings(reuse: Reuse, idle: Duration) -> TransportSettings {
    let mut settings = TransportSettings::default();
    (settings.reuse, settings.idle_timeout) = (reuse, idle);
    settings
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_after_5_ms_makes_creates_ambiguous_with_an_idle_time_above_its_own() {
    let tally =
        creates_against_a_closing_server(4_000, settings(Reuse::Always, Duration::from_secs(15))).await;
    // What the next two tests take away is really there.
    assert!(tally.ambiguous * 100 > 4_000, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn fewer_than_1_in_10_000_creates_are_ambiguous_with_half_the_server_s_idle_time() {
    let tally =
        creates_against_a_closing_server(CREATES, settings(Reuse::Always, Duration::from_micros(2_500)))
            .await;
    assert!(tally.ambiguous * 10_000 < CREATES, "{tally:?}");
    assert_eq!(tally.acted, tally.accepted, "{tally:?}");
    assert!(tally.connections < CREATES, "connections are reused: {tally:?}");
}

#[tokio::test(start_paused = true)]
async fn no_create_is_ambiguous_without_reuse_for_creates() {
    for reuse in [Reuse::NeverForCreates, Reuse::Never] {
        let tally = creates_against_a_closing_server(CREATES, settings(reuse, Duration::from_secs(15))).await;
        assert_eq!((tally.ambiguous, tally.accepted), (0, CREATES), "{reuse:?}: {tally:?}");
        assert_eq!((tally.connections, tally.acted), (CREATES, CREATES), "{reuse:?}: {tally:?}");
    }
}

fn read() -> Attempt {
    Attempt::read(request(URL), Deadline::At(VirtualClock::new().now() + Duration::from_secs(30)))
}

fn with_reuse(reuse: Reuse, connections: usize) -> (Arc<ScriptedDial>, HttpClient) {
    let dial = ScriptedDial::new((0..connections).map(|_| Script::replies(CREATED)));
    let client = client_with(dial.clone(), settings(reuse, Duration::from_secs(15)));
    (dial, client)
}

#[tokio::test(start_paused = true)]
async fn reads_reuse_where_creates_do_not() {
    let (dial, client) = with_reuse(Reuse::NeverForCreates, 9);
    client.send(create()).await;
    client.send(create()).await;
    assert_eq!(dial.count(), 2);
    for _ in 0..5 {
        client.send(read()).await;
    }
    assert_eq!(dial.count(), 2);
    client.send(create()).await;
    assert_eq!(dial.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_warmed_connection_is_fresh_and_left_to_the_creates() {
    for reuse in [Reuse::NeverForCreates, Reuse::Never, Reuse::Always] {
        let (dial, client) = with_reuse(reuse, 9);
        client.warm(&create()).await;
        client.warm(&create()).await;
        assert_eq!(dial.count(), 1, "{reuse:?}: one is enough");
        client.send(create()).await;
        assert_eq!(dial.count(), 1, "{reuse:?}: the warmed one is taken");
    }
    let (dial, client) = with_reuse(Reuse::NeverForCreates, 9);
    client.send(create()).await;
    client.warm(&create()).await;
    client.send(read()).await;
    client.send(create()).await;
    assert_eq!(dial.count(), 2, "the read took the used connection, the create the warmed one");
}

#[tokio::test(start_paused = true)]
async fn never_closes_after_each_reply() {
    let (dial, client) = with_reuse(Reuse::Never, 9);
    for at in 0..3 {
        client.send(read()).await;
        let state = dial.connection(at);
        let ended = state.lock().map(|state| (state.dropped, state.aborted)).unwrap();
        assert_eq!(ended, (true, false), "closed, not reset: the server is not to see an error");
    }
    assert_eq!(dial.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn warm_replaces_a_connection_that_died_at_rest() {
    for (rested, dialled) in [(Duration::from_millis(999), 1), (Duration::from_secs(1), 2)] {
        let (dial, client) = with_reuse(Reuse::Always, 2);
        client.warm(&create()).await;
        dial.connection(0).lock().unwrap().revive(Script { idle_then: Then::Close, ..Script::replies("") });
        tokio::time::advance(rested).await;
        client.warm(&create()).await;
        assert_eq!(dial.count(), dialled, "looked at after a second of rest");
        assert_eq!(client.send(create()).await.class, Class::Accepted, "always looked at when it is taken");
        assert_eq!(dial.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_warmed_connection_that_died_before_a_byte_is_unsent() {
    let (dial, client) = with_reuse(Reuse::NeverForCreates, 1);
    client.warm(&create()).await;
    dial.connection(0).lock().unwrap().script = Script::takes(0, Then::Reset);
    let outcome = client.send(create()).await;
    assert_eq!(outcome.class, Class::Unsent);
    assert_eq!(outcome.result.unwrap_err().kind(), FailureKind::StaleConnection);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ages_from_its_last_request_because_the_server_s_clock_may_start_there() {
    let (dial, client) = with_reuse(Reuse::Always, 2);
    let slow = tokio::spawn({
        let (dial, clock) = (dial.clone(), VirtualClock::new());
        async move {
            clock.sleep_until(clock.now() + Duration::from_secs(9)).await;
            dial.connection(0).lock().unwrap().revive(Script::replies(CREATED));
        }
    });
    client.warm(&create()).await;
    dial.connection(0).lock().unwrap().script = Script::replies("");
    client.send(create()).await;
    slow.await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    client.send(create()).await;
    assert_eq!(dial.count(), 2, "9 s of waiting and 6 s of idling are 15 s");
}

#[tokio::test(start_paused = true)]
async fn a_late_permit_does_not_make_a_connection_younger() {
    let (dial, client) = with_reuse(Reuse::Always, 2);
    let clock = VirtualClock::new();
    client.send(create()).await;
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(8)).await;
        let mut late = create();
        late.permit(clock.now(), clock.now() - MS);
        assert_eq!(client.send(late).await.class, Class::Unsent);
    }
    client.send(create()).await;
    let first = dial.connection(0).lock().unwrap().received.clone();
    assert_eq!(first.windows(4).filter(|window| *window == b"POST").count(), 1);
}

/// Eight attempts that are all under way before the first reply comes.
async fn eight_at_once(client: &Arc<HttpClient>, dial: &ScriptedDial) {
    let all = |change: &dyn Fn(&mut State)| {
        (0..dial.count()).for_each(|at| change(&mut dial.connection(at).lock().unwrap()));
    };
    all(&|state| state.script = Script::takes(state.received.len(), Then::Hang));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        tasks.spawn(async move { client.send(create()).await });
    }
    VirtualClock::new().sleep_until(VirtualClock::new().now() + MS).await;
    all(&|state| state.revive(Script::replies(CREATED)));
    assert!(tasks.join_all().await.iter().all(|outcome| outcome.class == Class::Accepted));
}

#[tokio::test(start_paused = true)]
async fn attempts_under_way_and_the_idle_ones_are_all_there_is() {
    let hanging = || ScriptedDial::new((0..40).map(|_| Script::takes(0, Then::Hang)));
    let dial = hanging();
    let client = Arc::new(client_with(dial.clone(), TransportSettings::default()));
    for _ in 0..10 {
        eight_at_once(&client, &dial).await;
    }
    assert_eq!(dial.count(), 8);

    let dial = hanging();
    let mut few = TransportSettings::default();
    few.max_idle = 2;
    let client = Arc::new(client_with(dial.clone(), few));
    eight_at_once(&client, &dial).await;
    let open = (0..8).filter(|at| !dial.connection(*at).lock().unwrap().dropped).collect::<Vec<_>>();
    assert_eq!((dial.count(), open), (8, vec![6, 7]), "the oldest are closed");
}

#[tokio::test(start_paused = true)]
async fn connections_that_nobody_needs_any_more_are_closed_at_their_age() {
    let dial = ScriptedDial::new((0..8).map(|_| Script::takes(0, Then::Hang)));
    let client = Arc::new(client_with(dial.clone(), settings(Reuse::Always, Duration::from_secs(15))));
    eight_at_once(&client, &dial).await;
    for open in [8, 8, 1] {
        tokio::time::advance(Duration::from_secs(5)).await;
        client.send(create()).await;
        assert_eq!((0..8).filter(|at| !dial.connection(*at).lock().unwrap().dropped).count(), open);
    }
    assert_eq!(dial.count(), 8);
}

/// Or each create would connect under its permit, and be late for it wherever that takes longer than the tolerance.
#[tokio::test(start_paused = true)]
async fn what_was_made_ahead_waits_for_its_create_also_where_no_idle_connection_is_kept() {
    let dial = ScriptedDial::new((0..3).map(|_| Script::replies(CREATED)));
    let mut none = TransportSettings::default();
    none.max_idle = 0;
    let client = client_with(dial.clone(), none);
    for dialled in 1..=3 {
        client.warm(&create()).await;
        assert_eq!(client.send(create()).await.class, Class::Accepted);
        assert_eq!(dial.count(), dialled);
        assert!(dial.connection(dialled - 1).lock().unwrap().dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn no_idle_connection_is_kept_where_none_may_be() {
    let dial = ScriptedDial::new((0..2).map(|_| Script::replies(CREATED)));
    let mut none = TransportSettings::default();
    none.max_idle = 0;
    let client = client_with(dial.clone(), none);
    client.send(create_within(Duration::from_secs(1))).await;
    client.send(create_within(Duration::from_secs(1))).await;
    assert_eq!(dial.count(), 2);
}

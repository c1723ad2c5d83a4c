//! Over real sockets, with a service that does not know idempotency keys: a lost answer is settled by a callback or by a reconcile, and
//! the simulator's book shows nobody rung twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Accepted, Account, BoxFuture, Call, CallEvent, CallId, Client, Clock, ErrorKind, Idempotency,
    IdempotencyKey, Journal, KeySet, NewCall, Order, Profile, Provider, ProviderError, RetrySettings,
    SystemClock, WebhookError, Webhooks,
};
use trunkline_core_types::{ClockExt, Judge, Lookup, Operation, Page, Reply, Verdict};
use trunkline_journal::MemoryJournal;
use trunkline_simulator::{CallLife, CallbackFaults, Fault, Faults, Simulator};

/// The Claude-style API as a service that does not know idempotency keys would be written: nothing is ever repeated.
#[derive(Debug)]
pub(crate) struct Keyless(pub(crate) ClaudeVoice, pub(crate) Profile);

impl Keyless {
    fn new(sim: &Simulator) -> Self {
        let voice = ClaudeVoice::new(&sim.base_url()).unwrap();
        let mut profile = voice.profile().clone();
        profile.idempotency = Idempotency::No;
        Self(voice, profile)
    }
}

impl Judge for Keyless {
    fn judge(&self, operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        self.0.judge(operation, status, headers, body)
    }
}

impl Provider for Keyless {
    fn profile(&self) -> &Profile {
        &self.1
    }

    fn origin(&self) -> &str {
        self.0.origin()
    }

    fn create(&self, call: &NewCall, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
        self.0.create(call, key)
    }

    fn get(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        self.0.get(id)
    }

    fn lookup(&self, by: Lookup<'_>) -> Result<Request<Bytes>, ProviderError> {
        match (by, self.1.idempotency) {
            (Lookup::Key(_), Idempotency::No) => {
                Err(ProviderError::unsupported("looking a call up by its key"))
            }
            _ => self.0.lookup(by),
        }
    }

    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError> {
        self.0.read_call(reply)
    }

    fn read_lookup(&self, by: Lookup<'_>, reply: &Reply) -> Result<Vec<Call>, ProviderError> {
        self.0.read_lookup(by, reply)
    }

    fn read_page(&self, by: Lookup<'_>, reply: &Reply) -> Result<Page, ProviderError> {
        self.0.read_page(by, reply)
    }

    fn webhook(
        &self,
        request: &Request<Bytes>,
        keys: &KeySet,
        now: SystemTime,
    ) -> Result<CallEvent, WebhookError> {
        self.0.webhook(request, keys, now)
    }

    fn read_error(&self, reply: &Reply) -> ProviderError {
        self.0.read_error(reply)
    }
}

/// The machine's clock, which a test may move on.
#[derive(Debug, Default)]
struct Ahead(SystemClock, AtomicU64);

impl Ahead {
    fn by(&self) -> Duration {
        Duration::from_secs(self.1.load(Ordering::Relaxed))
    }
}

impl Clock for Ahead {
    fn now(&self) -> Instant {
        self.0.now() + self.by()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall() + self.by()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at - self.by())
    }
}

/// Past the fence of a call (30 s) and the contract's delays (62 s).
const DUE: u64 = 100;

/// The user's own server: passes what comes to the client's webhooks and answers as they say.
struct Receiver {
    listener: TcpListener,
    url: String,
}

impl Receiver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events/main", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Serves until the other end of the channel is dropped.
    fn serve(self, webhooks: Webhooks) -> mpsc::UnboundedReceiver<Accepted> {
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let account = "main".parse().unwrap();
            while !tell.is_closed() {
                let (mut stream, _) = self.listener.accept().await.unwrap();
                let (mut bytes, mut request) = (Vec::new(), None);
                while request.is_none() && stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {
                    request = parsed(&bytes);
                }
                let Some(request) = request else { continue };
                let status = match webhooks.accept(&account, &request).await {
                    Ok(accepted) => {
                        let _ = tell.send(accepted);
                        StatusCode::NO_CONTENT
                    }
                    Err(error) => error.status(),
                };
                let reply = format!("HTTP/1.1 {} X\r\nconnection: close\r\n\r\n", status.as_u16());
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        told
    }
}

fn parsed(bytes: &[u8]) -> Option<Request<Bytes>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut request =
        Request::post(lines.next()?.split(' ').nth(1)?).body(Bytes::copy_from_slice(body.as_bytes())).ok()?;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request.headers_mut().insert(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    let length: usize = request.headers()["content-length"].to_str().ok()?.parse().ok()?;
    (body.len() == length).then_some(request)
}

struct World {
    sim: Simulator,
    clock: Arc<Ahead>,
    client: Client,
    told: mpsc::UnboundedReceiver<Accepted>,
}

impl World {
    async fn new(faults: Faults, callback_faults: CallbackFaults) -> Self {
        let mut life = CallLife::default();
        let step = Duration::from_millis(20);
        (life.queued, life.ringing, life.talking) = (step, step, step);
        let sim = Simulator::builder()
            .ignore_idempotency()
            .require_signature()
            .faults(faults)
            .callback_faults(callback_faults)
            .callback_pause(Duration::from_millis(10))
            .seed(7)
            .life(life)
            .start()
            .await
            .unwrap();
        let receiver = Receiver::new().await;
        let keys = |value: &str| StaticKeys::new(value.into()).unwrap();
        let account = Account::new("main", Keyless::new(&sim), keys(sim.api_key())).unwrap();
        let account = account.signing_keys(keys(sim.signing_secret())).callback_base(&receiver.url).unwrap();
        let clock = Arc::new(Ahead::default());
        let mut retry = RetrySettings::default();
        retry.base = Duration::from_millis(20);
        let journal = Journal::custom(Arc::new(MemoryJournal::new(clock.clone())));
        let builder = Client::builder(journal).clock(clock.clone()).account(account).retry(retry);
        let client = builder.build().unwrap();
        let told = receiver.serve(client.webhooks());
        Self { sim, clock, client, told }
    }

    async fn event(&mut self) -> Accepted {
        let clock = SystemClock::new();
        let told = clock.bounded(clock.now() + Duration::from_secs(20), self.told.recv()).await;
        told.unwrap().unwrap()
    }

    fn time_passes(&self) {
        self.clock.1.fetch_add(DUE, Ordering::Relaxed);
    }
}

fn order(n: u32) -> Order {
    let call = NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap();
    Order::new(call).key(&format!("row-{n}")).unwrap()
}

#[tokio::test]
async fn a_callback_settles_what_a_reset_left_open() {
    let mut world = World::new(Faults::none(), CallbackFaults::none()).await;
    world.sim.fault_next(Fault::ResetAfterActing);
    // If the callback is quicker than the journal is asked, it is the answer.
    match world.client.place(order(1)).await {
        Err(lost) => assert_eq!((lost.kind(), lost.tries()), (ErrorKind::Ambiguous, 1)),
        Ok(placed) => assert_eq!((placed.replayed, placed.tries), (false, 1)),
    }
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let accepted = world.event().await;
        assert!(accepted.known && !accepted.duplicate);
        statuses.push(accepted.event.call.status.to_string());
    }
    assert_eq!(statuses, ["queued", "ringing", "answered", "completed"]);
    let placed = world.client.place(order(1)).await.unwrap();
    let reference = placed.reference.unwrap();
    assert_eq!((reference.id.as_str(), placed.replayed), (&*world.sim.calls()[0].call_id, true));
    assert!(world.client.webhooks().state(&reference).await.unwrap().unwrap().is_over());
    assert_eq!((world.sim.times_rung("+14155550001"), world.sim.book().duplicates), (1, 0));
}

#[tokio::test]
async fn a_reconcile_settles_what_no_callback_told_of() {
    let mut lost = CallbackFaults::none();
    lost.lost = 1000;
    let world = World::new(Faults::none(), lost).await;
    for fault in [Fault::ResetAfterActing, Fault::ResetBeforeActing] {
        world.sim.fault_next(fault);
    }
    for n in [1, 2] {
        assert!(world.client.place(order(n)).await.unwrap_err().is_ambiguous());
    }
    let reconciler = world.client.reconciler();
    assert!(reconciler.run_once(10).await.findings.is_empty(), "too early");
    world.time_passes();
    let report = reconciler.run_once(10).await;
    assert_eq!((report.placed, report.proven_absent, report.failed), (1, 1, 0), "{report:?}");
    let placed = world.client.place(order(1)).await.unwrap();
    assert_eq!(placed.reference.unwrap().id.as_str(), world.sim.calls()[0].call_id);
    assert!(
        world.client.place(order(2)).await.unwrap_err().is_ambiguous(),
        "absent, and nobody asked to redial"
    );

    assert_eq!(reconciler.free_proven_absent().run_once(10).await.proven_absent, 1);
    assert!(!world.client.place(order(2)).await.unwrap().replayed);
    assert_eq!((world.sim.book().calls, world.sim.book().duplicates), (2, 0));
    assert_eq!(world.sim.book().events_sent, 0);
}

#[tokio::test]
async fn everybody_is_rung_once_over_faults_of_calls_and_of_callbacks() {
    const CALLS: u32 = 80;
    let mut faults = Faults::hostile();
    // A throttle pauses the whole account for a second; others test it.
    faults.throttle = 0;
    let world = World::new(faults, CallbackFaults::hostile()).await;
    let reconciler = world.client.reconciler().free_proven_absent();
    let (mut open, mut unknown): (Vec<u32>, usize) = ((0..CALLS).collect(), 0);
    for round in 0.. {
        assert!(round < 20, "{open:?} do not end");
        let orders: Vec<_> = open.iter().map(|n| order(*n)).collect();
        let results = world.client.place_all(stream::iter(orders)).collect::<Vec<_>>().await;
        let ended: BTreeMap<_, _> =
            results.into_iter().map(|(key, result)| (key.as_str().to_owned(), result)).collect();
        unknown += ended.values().filter(|result| result.as_ref().is_err_and(|e| e.is_ambiguous())).count();
        open.retain(|n| ended[&format!("row-{n}")].is_err());
        if open.is_empty() {
            break;
        }
        world.time_passes();
        let report = reconciler.run_once(1000).await;
        assert_eq!((report.still_unknown, report.failed), (0, 0), "{report:?}");
    }
    let book = world.sim.book();
    assert_eq!(
        (book.calls, book.people, book.duplicates),
        (u64::from(CALLS), u64::from(CALLS), 0),
        "{book:?}"
    );
    assert!(unknown > 0, "the faults left something open");
    assert_eq!(world.client.shutdown(Duration::from_secs(1)).await.open, 0);
}

//! A client whose journal, signer and dialler take their time, and a record of what left it and came back.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;
use trunkline::{
    Account, BoxFuture, Class, Client, Clock, Dial, Journal, NewCall, Order, SeededEntropy, Wire,
};
use trunkline_core_types::{
    AttemptError, AttemptJournal, Claim, ClockExt, FailureKind, IdempotencyKey, Intent, JournalError,
    KeyError, KeyErrorKind, Origin, Sign, VirtualClock,
};
use trunkline_journal::MemoryJournal;

use crate::peer::{Does, Peer, PeerDial, account, per_second};

/// How long each part takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delays {
    pub(crate) claim: Duration,
    pub(crate) begin: Duration,
    pub(crate) sign: Duration,
    pub(crate) connect: Duration,
}

async fn pause(time: Duration) {
    let clock = VirtualClock::new();
    clock.sleep_until(clock.now() + time).await;
}

/// What passed the wire, as the client's side of it saw it.
#[derive(Debug, Clone, Copy)]
enum Passed {
    /// The first byte of a request.
    Begun(Instant),
    /// A reply of this status was read.
    Answered(u16),
}

/// The record of one client's wires, in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Record {
    passed: Mutex<Vec<Passed>>,
    refuse: AtomicUsize,
}

impl Record {
    /// When the first bytes of the requests left.
    pub(crate) fn starts(&self) -> Vec<Instant> {
        let begun = |passed: &Passed| match passed {
            Passed::Begun(at) => Some(*at),
            Passed::Answered(_) => None,
        };
        self.passed.lock().unwrap().iter().filter_map(begun).collect()
    }

    /// What somebody who saw only the wire would say of the one call on it.
    pub(crate) fn verdict(&self) -> Class {
        let passed = self.passed.lock().unwrap();
        let mut verdict = Class::Unsent;
        for (at, event) in passed.iter().enumerate() {
            let Passed::Begun(_) = event else { continue };
            verdict = verdict.fold(match passed.get(at + 1) {
                Some(Passed::Answered(201)) => Class::Accepted,
                Some(Passed::Answered(429)) => Class::Deferred,
                _ => Class::Ambiguous,
            });
        }
        verdict
    }

    pub(crate) fn forget(&self) {
        self.passed.lock().unwrap().clear();
    }
}

#[derive(Debug)]
struct SlowDial {
    inner: PeerDial,
    delay: Duration,
    record: Arc<Record>,
}

impl Dial for SlowDial {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        Box::pin(async move {
            if !self.delay.is_zero() {
                pause(self.delay).await;
            }
            let refuse = |left: usize| left.checked_sub(1);
            if self.record.refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok() {
                return Err(AttemptError::new(FailureKind::Connect, "scripted"));
            }
            let inner = self.inner.connect(origin).await?;
            Ok(Box::new(Recorded { inner, begun: false, record: self.record.clone() }) as Box<dyn Wire>)
        })
    }
}

struct Recorded {
    inner: Box<dyn Wire>,
    begun: bool,
    record: Arc<Record>,
}

impl Wire for Recorded {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.inner.poll_read(cx, buffer);
        if let Poll::Ready(Ok(9..)) = read {
            let status = String::from_utf8_lossy(&buffer[9..12]).parse().unwrap();
            self.record.passed.lock().unwrap().push(Passed::Answered(status));
            self.begun = false;
        }
        read
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.record.passed.lock().unwrap().push(Passed::Begun(VirtualClock::new().now()));
        }
        self.inner.poll_write(cx, buffer)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}

/// Signs with a word, after a while, and never past the deadline.
#[derive(Debug)]
struct SlowSign(Duration);

impl Sign for SlowSign {
    fn sign<'a>(
        &'a self,
        request: &'a mut Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<(), KeyError>> {
        Box::pin(async move {
            if !self.0.is_zero() {
                let signed = VirtualClock::new().bounded(deadline, pause(self.0)).await;
                signed.ok_or_else(|| KeyError::new(KeyErrorKind::Timeout, "scripted"))?;
            }
            request.headers_mut().insert("authorization", "signed".parse().unwrap());
            Ok(())
        })
    }
}

/// The journal in memory, slow, with a record of its steps by key.
#[derive(Debug)]
pub(crate) struct SlowJournal {
    inner: MemoryJournal,
    delays: Delays,
    begun: Mutex<HashMap<IdempotencyKey, u32>>,
    settled: Mutex<HashMap<IdempotencyKey, Class>>,
}

impl SlowJournal {
    pub(crate) fn begun(&self) -> Vec<u32> {
        self.begun.lock().unwrap().values().copied().collect()
    }

    pub(crate) fn settled(&self, key: &str) -> Option<Class> {
        self.settled.lock().unwrap().get(&key.parse::<IdempotencyKey>().unwrap()).copied()
    }

    pub(crate) async fn is_open(&self, key: &str) -> bool {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let open = self.inner.open_calls(far, None, 100).await.unwrap();
        open.iter().any(|intent| intent.key.as_str() == key)
    }
}

impl AttemptJournal for SlowJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async move {
            if !self.delays.claim.is_zero() {
                pause(self.delays.claim).await;
            }
            self.inner.claim(intent).await
        })
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            // Kept in the middle: a begin that is given up may or may not have been.
            if !self.delays.begin.is_zero() {
                pause(self.delays.begin / 2).await;
            }
            *self.begun.lock().unwrap().entry(intent.key.clone()).or_default() += 1;
            self.inner.begin(intent, number).await?;
            if !self.delays.begin.is_zero() {
                pause(self.delays.begin / 2).await;
            }
            Ok(())
        })
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.inner.end(key, number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.settled.lock().unwrap().insert(key.clone(), class);
        self.inner.settle(key, class, reply)
    }

    fn settle_claim(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.settled.lock().unwrap().insert(key.clone(), class);
        self.inner.settle_claim(key, number, class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        self.inner.open_calls(fenced_before, after, limit)
    }
}

/// A whole client and everything around it.
pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) peer: Arc<Peer>,
    pub(crate) record: Arc<Record>,
    pub(crate) journal: Arc<SlowJournal>,
}

impl Rig {
    pub(crate) fn new(
        script: impl IntoIterator<Item = Does>,
        delays: Delays,
        refuse: usize,
        change: impl FnOnce(Account) -> Account,
    ) -> Self {
        let (peer, clock) = (Peer::new(script), Arc::new(VirtualClock::new()));
        let record = Arc::new(Record { refuse: refuse.into(), ..Record::default() });
        let journal = Arc::new(SlowJournal {
            inner: MemoryJournal::new(clock.clone()),
            delays,
            begun: Mutex::default(),
            settled: Mutex::default(),
        });
        let dial = SlowDial { inner: PeerDial(peer.clone()), delay: delays.connect, record: record.clone() };
        let account = account(&peer).pace(per_second(1)).in_flight(NonZeroU32::MIN).dial(Arc::new(dial));
        let account = change(account.signer(SlowSign(delays.sign)));
        let client = Client::builder(Journal::custom(journal.clone()))
            .clock(clock)
            .entropy(Arc::new(SeededEntropy::new(1)))
            .account(account)
            .build()
            .unwrap();
        Self { client, peer, record, journal }
    }
}

pub(crate) fn keyed(key: &str) -> Order {
    Order::new(NewCall::say("+14155550123", "hello").unwrap()).key(key).unwrap()
}

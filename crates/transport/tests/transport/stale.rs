//! A pooled connection that the server has left: seen in time it costs nothing, seen before a byte left it is replaced at once and
//! uncounted, seen later nothing is repeated. The peer never sees more requests than permits and notes say.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trunkline_core_types::{
    Ask, AttemptJournal, BoxFuture, Claim, Class, Clock, Denied, HttpService, IdempotencyKey, Intent,
    JournalError, Outcome, Pacer, Permit, SeededEntropy, Slot, SystemClock, Unobserved, VirtualClock,
};
use trunkline_transport::{HttpClient, Journaled, Limiter, Retry, RetrySettings};

use crate::scripted::{CREATED, Script, ScriptedDial, Then, URL, client, create_to, exhausted};
use crate::sockets::{Over, Sockets, settle};

/// Our own book: permits, notes and how they ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counts {
    permits: usize,
    spent: usize,
    given_back: usize,
    begun: usize,
    ended: Vec<Class>,
}

#[derive(Debug)]
struct Books {
    counts: Arc<Mutex<Counts>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Counted(Arc<Mutex<Counts>>);

impl Slot for Counted {
    fn spent(self: Box<Self>) {
        self.0.lock().unwrap().spent += 1;
    }

    fn given_back(self: Box<Self>) {
        self.0.lock().unwrap().given_back += 1;
    }
}

impl Pacer for Books {
    fn acquire(&self, _: Ask) -> BoxFuture<'_, Result<Permit, Denied>> {
        self.counts.lock().unwrap().permits += 1;
        let start_by = self.clock.now() + Duration::from_secs(5);
        Box::pin(async move { Ok(Permit::new(start_by, Some(Box::new(Counted(self.counts.clone()))))) })
    }
}

impl AttemptJournal for Books {
    fn claim<'a>(&'a self, _: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async { Ok(Claim::Go { number: 1 }) })
    }

    fn begin<'a>(&'a self, _: &'a Arc<Intent>, _: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        self.counts.lock().unwrap().begun += 1;
        Box::pin(async { Ok(()) })
    }

    fn end(&self, _: &IdempotencyKey, _: u32, class: Class, _: Option<Bytes>) -> Result<(), JournalError> {
        self.counts.lock().unwrap().ended.push(class);
        Ok(())
    }

    fn settle(&self, _: &IdempotencyKey, _: Class, _: Option<Bytes>) -> Result<(), JournalError> {
        Ok(())
    }

    fn open_calls<'a>(
        &'a self,
        _: SystemTime,
        _: Option<&'a IdempotencyKey>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The layers that repeat, pace and note, around a client.
struct Stack {
    retry: Retry,
    counts: Arc<Mutex<Counts>>,
    clock: Arc<dyn Clock>,
    url: String,
}

impl Stack {
    fn new(client: Arc<HttpClient>, clock: Arc<dyn Clock>, url: &str) -> Self {
        let counts = Arc::default();
        let books = Arc::new(Books { counts: Arc::clone(&counts), clock: clock.clone() });
        let observer = Arc::new(Unobserved::default());
        let inner = Journaled::new(client, books.clone(), clock.clone(), observer.clone());
        let inner = Limiter::new(Arc::new(inner), books, clock.clone(), observer.clone());
        let entropy = Arc::new(SeededEntropy::new(1));
        let retry = Retry::new(Arc::new(inner), RetrySettings::never(), clock.clone(), entropy, observer);
        Self { retry, counts, clock, url: url.to_owned() }
    }

    async fn place(&self) -> Outcome {
        self.retry.send(create_to(&self.url, self.clock.now() + Duration::from_secs(30))).await
    }

    fn counts(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }
}

const EARLIER_408: &str = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How the server leaves the connection; the client's next so many reads do not show it yet.
fn leaves() -> Vec<Script> {
    let ends = [("", Then::Close), ("", Then::Reset), (EARLIER_408, Then::Close)];
    let script = |(idle_says, idle_then)| Script { idle_says, idle_then, ..Script::replies(CREATED) };
    ends.map(script).into()
}

const LOOKS: std::ops::Range<usize> = 0..6;

/// When the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    OnTake,
    BeforeAByte,
    After,
}

/// Reads from our book when it was seen, and holds the rest of the book, and the peer's, against that.
fn check(outcome: &Outcome, counts: &Counts, requests: usize) -> Seen {
    let seen = match (outcome.class, counts.permits) {
        (Class::Accepted, 1) => Seen::OnTake,
        (Class::Accepted, _) => Seen::BeforeAByte,
        _ => Seen::After,
    };
    let class = if seen == Seen::After { Class::Ambiguous } else { Class::Accepted };
    let given_back = usize::from(seen == Seen::BeforeAByte);
    let ended = [vec![Class::Unsent; given_back], vec![class]].concat();
    let want = Counts { permits: 1 + given_back, spent: 1, given_back, begun: 1 + given_back, ended };
    assert_eq!((outcome.class, outcome.tries), (class, 1), "{outcome:?}");
    assert_eq!(*counts, want, "{outcome:?}");
    assert!(requests <= counts.spent, "{requests} requests, {counts:?}");
    seen
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_left_is_replaced_at_once_over_scripted_io() {
    for leaves in leaves() {
        let mut seen = Vec::new();
        for idle_looks in LOOKS {
            let dial = ScriptedDial::new([Script::replies(CREATED), Script::replies(CREATED)]);
            let clock = Arc::new(VirtualClock::new());
            let stack = Stack::new(Arc::new(client(dial.clone())), clock.clone(), URL);
            stack.place().await;
            stack.counts();
            dial.connection(0).lock().unwrap().revive(Script { idle_looks, ..leaves.clone() });
            let started = clock.now();
            let outcome = stack.place().await;
            let requests = |at| dial.connection(at).lock().unwrap().requests();
            let requests: usize = (0..dial.count()).map(requests).sum();
            seen.push(check(&outcome, &stack.counts(), requests - 1));
            assert_eq!(clock.now(), started, "at once");
        }
        assert!(seen.is_sorted(), "{seen:?}");
        for when in [Seen::OnTake, Seen::BeforeAByte, Seen::After] {
            assert!(seen.contains(&when), "{seen:?}");
        }
    }
}

async fn over_sockets(over: Over) {
    for leaves in leaves() {
        let mut seen = Vec::new();
        let peer = Sockets::new(over, leaves.clone());
        for looks in LOOKS {
            peer.rescript(leaves.clone());
            let stack = Stack::new(peer.client.clone(), Arc::new(SystemClock::new()), &peer.url);
            stack.place().await;
            stack.counts();
            peer.gate.quit();
            settle().await;
            peer.gate.hold(usize::MAX, looks);
            let outcome = stack.place().await;
            seen.push(check(&outcome, &stack.counts(), peer.book().requests - 1));
            peer.gate.hold(usize::MAX, 0);
        }
        // A reset fails the write too, and under TLS the write comes first: not every carrier meets all three.
        assert!(seen.is_sorted() && seen[0] == Seen::OnTake && seen[5] > Seen::OnTake, "{seen:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_left_is_replaced_at_once_over_tcp() {
    over_sockets(Over::Tcp).await;
}

#[tokio::test]
async fn a_connection_that_was_left_is_replaced_at_once_over_tls() {
    over_sockets(Over::Tls).await;
}

/// As after many calls in one task.
async fn looked_at_without_a_budget(over: Over) {
    for leaves in leaves() {
        let peer = Sockets::new(over, leaves);
        let stack = Stack::new(peer.client.clone(), Arc::new(SystemClock::new()), &peer.url);
        stack.place().await;
        stack.counts();
        peer.gate.quit();
        settle().await;
        let outcome = exhausted(stack.place()).await;
        assert_eq!(check(&outcome, &stack.counts(), peer.book().requests - 1), Seen::OnTake, "{over:?}");
    }
}

#[tokio::test]
async fn a_task_without_a_budget_sees_that_a_connection_was_left_over_tcp_and_tls() {
    looked_at_without_a_budget(Over::Tcp).await;
    looked_at_without_a_budget(Over::Tls).await;
}

/// The look saw nothing, and the first write fails without a byte.
async fn failing_write(over: Over) {
    let peer = Sockets::new(over, Script { write_then: Then::Reset, ..Script::replies(CREATED) });
    let stack = Stack::new(peer.client.clone(), Arc::new(SystemClock::new()), &peer.url);
    stack.place().await;
    stack.counts();
    peer.gate.hold(0, 0);
    let outcome = stack.place().await;
    let book = peer.book();
    assert_eq!(check(&outcome, &stack.counts(), book.requests - 1), Seen::BeforeAByte);
    assert_eq!((book.connections, book.requests), (2, 2));
}

#[tokio::test]
async fn a_write_that_fails_without_a_byte_is_repeated_at_once_over_tcp_and_tls() {
    failing_write(Over::Tcp).await;
    failing_write(Over::Tls).await;
}

/// The server closes when it has the request, as one that closes idle connections does in the same instant.
async fn fin_after_the_write(over: Over) {
    let peer = Sockets::new(over, Script::replies(CREATED));
    let stack = Stack::new(peer.client.clone(), Arc::new(SystemClock::new()), &peer.url);
    stack.place().await;
    stack.counts();
    for end in [Then::Close, Then::Reset] {
        peer.rescript(Script { read_then: end, ..Script::replies("") });
        let outcome = stack.place().await;
        assert_eq!((outcome.class, outcome.tries), (Class::Ambiguous, 1));
        let ended = vec![Class::Ambiguous];
        assert_eq!(stack.counts(), Counts { permits: 1, spent: 1, given_back: 0, begun: 1, ended });
        assert_eq!(peer.book().requests, 1);
    }
}

#[tokio::test]
async fn a_fin_right_after_the_write_is_ambiguous_and_not_repeated_over_tcp_and_tls() {
    fin_after_the_write(Over::Tcp).await;
    fin_after_the_write(Over::Tls).await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_all_die_unsent_end_the_call() {
    // Every second connection is pooled and dead: two replacements are free, the third counts, and with one try the call ends.
    let dial = ScriptedDial::new((0..9).map(|_| Script::takes(0, Then::Reset)));
    let clock = Arc::new(VirtualClock::new());
    let stack = Stack::new(Arc::new(client(dial.clone())), clock, URL);
    let outcome = stack.place().await;
    assert_eq!((outcome.class, outcome.tries), (Class::Unsent, 1));
    let counts = stack.counts();
    assert_eq!((counts.permits, counts.given_back, counts.begun), (dial.count(), dial.count(), dial.count()));
    assert!(dial.count() <= 3, "{}", dial.count());
}

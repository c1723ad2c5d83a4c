//! The cache in virtual time, over a scripted store.

mod odd;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use trunkline_auth_secrets::{CacheSettings, CachedKeys};
use trunkline_core_types::{
    BoxFuture, Clock, Fact, Key, KeyError, KeyErrorKind, KeyProvider, KeySet, Observer, SeededEntropy,
    VirtualClock,
};

use crate::support::key;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// A store that answers what it is set to after `delay`, and counts.
#[derive(Debug)]
struct Store {
    clock: VirtualClock,
    delay: Duration,
    answer: Mutex<Result<KeySet, KeyErrorKind>>,
    fetches: AtomicUsize,
    invalidated: Mutex<Vec<String>>,
}

impl Store {
    fn set(&self, value: &str, version: &str) {
        *self.answer.lock().unwrap() = Ok(key(value, version));
    }

    fn fail(&self, kind: KeyErrorKind) {
        *self.answer.lock().unwrap() = Err(kind);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl KeyProvider for Store {
    fn keys(&self, _deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        // As a real read: decided when it begins, seen when it ends.
        let answer = self.answer.lock().unwrap().clone();
        let until = self.clock.now() + self.delay;
        Box::pin(async move {
            self.clock.sleep_until(until).await;
            answer.map_err(|kind| KeyError::new(kind, "scripted"))
        })
    }

    fn backend(&self) -> &'static str {
        "vault"
    }

    fn invalidate(&self, version: &str) {
        self.invalidated.lock().unwrap().push(version.to_owned());
    }
}

#[derive(Debug, Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

struct Bench {
    clock: VirtualClock,
    store: Arc<Store>,
    facts: Arc<Facts>,
    cache: CachedKeys,
}

impl Bench {
    fn new() -> Self {
        Self::with_delay(100 * MS)
    }

    fn with_delay(delay: Duration) -> Self {
        let clock = VirtualClock::new();
        let store = Arc::new(Store {
            clock,
            delay,
            answer: Mutex::new(Ok(key("canary-one", "kv-1"))),
            fetches: AtomicUsize::new(0),
            invalidated: Mutex::default(),
        });
        let facts = Arc::new(Facts::default());
        let settings = CacheSettings::default()
            .with_clock(Arc::new(clock))
            .with_entropy(Arc::new(SeededEntropy::new(7)))
            .with_observer(facts.clone());
        let cache = CachedKeys::new(store.clone(), settings).unwrap();
        Self { clock, store, facts, cache }
    }

    /// The version served now, or why there is none.
    async fn version(&self) -> Result<String, KeyErrorKind> {
        let read = self.cache.keys(self.clock.now() + 10 * S).await;
        read.map(|keys| keys.current.version().to_owned()).map_err(|error| error.kind())
    }

    async fn pass(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    fn stale_ages(&self) -> Vec<Duration> {
        let facts = self.facts.0.lock().unwrap();
        let age = |fact: &Fact| match fact {
            Fact::KeyStale { age, backend: "vault" } => Some(*age),
            _ => None,
        };
        facts.iter().filter_map(age).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_make_one_fetch() {
    let bench = Arc::new(Bench::new());
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.version().await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "kv-1");
    }
    assert_eq!(bench.version().await.unwrap(), "kv-1");
    assert_eq!(bench.store.fetches(), 1);
    let facts = bench.facts.0.lock().unwrap();
    assert_eq!(*facts, [Fact::KeyFetch { backend: "vault", error: None, took: 100 * MS }]);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_outlives_its_first_caller_and_ends_with_the_cache() {
    let bench = Bench::new();
    let early = bench.cache.keys(bench.clock.now() + 10 * MS).await.unwrap_err();
    assert_eq!(early.kind(), KeyErrorKind::Timeout);
    bench.pass(100 * MS).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 1));

    let Bench { cache, store, clock, .. } = Bench::new();
    drop(cache.keys(clock.now() + S));
    let clone = cache.clone();
    let waiting = tokio::spawn(async move { clone.keys(clock.now() + 10 * MS).await });
    assert!(waiting.await.unwrap().is_err());
    drop(cache);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&store), 1, "the fetch still holds the store");
}

#[tokio::test(start_paused = true)]
async fn a_key_past_its_soft_ttl_is_refreshed_behind_the_caller() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.store.set("two", "kv-2");
    bench.pass(269 * S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 1));
    bench.pass(62 * S).await;
    let before = bench.clock.now();
    for _ in 0..10 {
        assert_eq!(bench.version().await.unwrap(), "kv-1");
    }
    assert_eq!(bench.clock.now(), before, "a hit waited");
    bench.pass(101 * MS).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 2));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_until_the_hard_ttl() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.store.fail(KeyErrorKind::Unavailable);
    for _ in 0..359 {
        bench.pass(10 * S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-1");
    }
    let ages = bench.stale_ages();
    assert!(ages.len() > 100 && ages.is_sorted() && *ages.last().unwrap() < 3600 * S, "{ages:?}");
    bench.pass(11 * S).await;
    assert_eq!(bench.version().await, Err(KeyErrorKind::Unavailable));
    bench.store.set("two", "kv-2");
    bench.pass(11 * S).await;
    assert_eq!(bench.version().await.unwrap(), "kv-2");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_is_judged_by_the_callers_reading_of_the_clock() {
    let bench = Bench::new();
    assert!(bench.cache.in_hand(bench.clock.now()).is_none());
    bench.version().await.unwrap();
    let in_hand = |after| bench.cache.in_hand(bench.clock.now() + after).is_some();
    assert!(in_hand(3599 * S) && !in_hand(3600 * S));
    tokio::task::yield_now().await;
    assert_eq!(bench.store.fetches(), 2, "past the soft TTL it was refreshed behind the caller");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_counts_as_out() {
    let bench = Bench::with_delay(6 * S);
    assert_eq!(bench.version().await, Err(KeyErrorKind::Timeout));
    let facts = bench.facts.0.lock().unwrap();
    assert_eq!(
        *facts,
        [Fact::KeyFetch { backend: "vault", error: Some(KeyErrorKind::Timeout), took: 5 * S }]
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_never_served_stale() {
    for kind in [KeyErrorKind::Denied, KeyErrorKind::Missing, KeyErrorKind::Invalid] {
        let bench = Bench::new();
        bench.version().await.unwrap();
        bench.store.fail(kind);
        bench.pass(331 * S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-1", "the one hit that starts the refresh");
        bench.pass(101 * MS).await;
        assert_eq!(bench.version().await, Err(kind));
        bench.store.fail(KeyErrorKind::Unavailable);
        bench.pass(S).await;
        assert_eq!(bench.version().await, Err(KeyErrorKind::Unavailable), "dropped for good");
        assert!(bench.stale_ages().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_answers_everybody_until_its_pause_is_over() {
    let bench = Bench::new();
    bench.store.fail(KeyErrorKind::Missing);
    assert_eq!(bench.version().await, Err(KeyErrorKind::Missing));
    for _ in 0..8 {
        bench.pass(100 * MS).await;
        assert_eq!(bench.version().await, Err(KeyErrorKind::Missing));
    }
    assert_eq!(bench.store.fetches(), 1);
    bench.store.set("two", "kv-2");
    bench.pass(200 * MS).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 2));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_version_is_fetched_again_once_in_30_seconds() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.cache.invalidate("kv-0");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 1));

    (0..5).for_each(|_| bench.cache.invalidate("kv-1"));
    let before = bench.clock.now();
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 2));
    assert_eq!(bench.clock.now() - before, 100 * MS, "the dropped key was served");
    bench.cache.invalidate("kv-1");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 2));

    bench.pass(30 * S).await;
    bench.store.set("two", "kv-2");
    bench.cache.invalidate("kv-1");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 3));
    bench.cache.invalidate("kv-2");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 4));
    assert_eq!(*bench.store.invalidated.lock().unwrap(), ["kv-1", "kv-1", "kv-2"]);
}

/// A key that was refused, accepted again and revoked soon after is replaced long before it is due.
#[tokio::test(start_paused = true)]
async fn a_version_refused_again_within_30_seconds_is_refreshed_once_they_are_over() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.cache.invalidate("kv-1");
    bench.version().await.unwrap();
    bench.pass(20 * S).await;
    bench.version().await.unwrap();
    bench.pass(S).await;
    bench.store.set("two", "kv-2");
    bench.cache.invalidate("kv-1");
    bench.pass(8 * S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 3));
    bench.pass(S).await;
    assert_eq!(bench.version().await.unwrap(), "kv-1", "a refresh is not waited for");
    bench.pass(S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 4));
    bench.pass(60 * S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 4));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_key_is_not_served_stale_by_an_outage() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.store.fail(KeyErrorKind::Unavailable);
    bench.cache.invalidate("kv-1");
    assert_eq!(bench.version().await, Err(KeyErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_wait_for_the_pause_of_an_outage() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.store.fail(KeyErrorKind::Unavailable);
    bench.pass(331 * S).await;
    bench.version().await.unwrap();
    bench.pass(101 * MS).await;
    bench.store.set("two", "kv-2");
    bench.cache.invalidate("kv-1");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 3));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_the_refusal_is_repeated() {
    let bench = Bench::new();
    let first = bench.cache.keys(bench.clock.now() + 10 * MS).await;
    assert!(first.is_err());
    bench.store.set("two", "kv-2");
    bench.cache.invalidate("kv-1");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 2));
}

#[tokio::test(start_paused = true)]
async fn a_keys_own_end_comes_before_the_ttl() {
    let bench = Bench::new();
    let ends = |at: u64| {
        let wall = UNIX_EPOCH + Duration::from_secs(1_767_225_600 + at);
        Ok(KeySet::single(Key::new("canary".into(), "kv-1").unwrap().with_not_after(wall)))
    };
    *bench.store.answer.lock().unwrap() = ends(60);
    assert_eq!(bench.version().await.unwrap(), "kv-1");
    bench.store.fail(KeyErrorKind::Unavailable);
    bench.pass(59 * S).await;
    assert_eq!(bench.version().await.unwrap(), "kv-1");
    bench.pass(2 * S).await;
    assert_eq!(bench.version().await, Err(KeyErrorKind::Unavailable));
    *bench.store.answer.lock().unwrap() = ends(60);
    bench.pass(10 * S).await;
    assert_eq!(bench.version().await, Err(KeyErrorKind::Invalid));
}

#[test]
fn outside_of_a_runtime_a_miss_is_an_error_and_shutdown_ends_the_wait() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let bench = runtime.block_on(async { Bench::new() });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let far = bench.clock.now() + 10 * S;
    let std::task::Poll::Ready(Err(error)) = bench.cache.keys(far).as_mut().poll(&mut context) else {
        panic!("a miss without a runtime waits");
    };
    assert_eq!(error.kind(), KeyErrorKind::Unavailable);
    let late = runtime.block_on(async { bench.cache.keys(bench.clock.now() + MS).await });
    assert_eq!(late.unwrap_err().kind(), KeyErrorKind::Timeout);
    drop(runtime);

    let next =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    next.block_on(async {
        bench.pass(S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-1", "the fetch of the old runtime blocks the new one");
    });
}

#[test]
fn settings_that_contradict_are_refused_and_nothing_prints_the_key() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let bench = Bench::new();
        bench.version().await.unwrap();
        assert!(!format!("{:?}", bench.cache).contains("canary"), "{:?}", bench.cache);
        assert!(format!("{:?}", bench.cache).contains("kv-1"));
        for (bad, field) in [
            (CacheSettings::default().with_hard_ttl(S), "soft_ttl"),
            (CacheSettings::default().with_soft_ttl(Duration::ZERO), "soft_ttl"),
            (CacheSettings::default().with_fetch_timeout(Duration::ZERO), "fetch_timeout"),
        ] {
            let refused = CachedKeys::new(bench.store.clone(), bad).unwrap_err();
            assert_eq!(refused.field(), field);
        }
    });
}

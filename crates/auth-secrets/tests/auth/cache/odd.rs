//! What happens rarely, and must not last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trunkline_auth_secrets::{CacheSettings, CachedKeys};
use trunkline_core_types::{Clock, Entropy, KeyErrorKind, KeyProvider};

use super::{Bench, MS, S};

/// A rotation that reaches the provider before the store.
#[tokio::test(start_paused = true)]
async fn a_refused_version_that_the_store_still_has_is_replaced_soon_after_the_store() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.cache.invalidate("kv-1");
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 2));
    bench.pass(S).await;
    assert_eq!(bench.version().await.unwrap(), "kv-1");
    bench.pass(S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-1", 3));
    bench.store.set("two", "kv-2");
    bench.pass(S).await;
    bench.version().await.unwrap();
    bench.pass(S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 4));
    bench.pass(250 * S).await;
    assert_eq!((bench.version().await.unwrap().as_str(), bench.store.fetches()), ("kv-2", 4));
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_that_stays_is_asked_for_ever_more_rarely() {
    let bench = Bench::new();
    bench.version().await.unwrap();
    bench.cache.invalidate("kv-1");
    for _ in 0..3600 {
        bench.pass(S).await;
        bench.version().await.unwrap();
    }
    assert!((15..30).contains(&bench.store.fetches()), "{}", bench.store.fetches());
}

/// A runtime of one thread stands still between two calls of `block_on`.
#[test]
fn a_fetch_whose_runtime_stands_still_is_given_up() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (still, other) = (runtime(), runtime());
    let bench = still.block_on(async { Bench::new() });
    let late = still.block_on(async { bench.cache.keys(bench.clock.now() + MS).await });
    assert_eq!(late.unwrap_err().kind(), KeyErrorKind::Timeout);
    other.block_on(async {
        bench.pass(S).await;
        assert_eq!(bench.version().await, Err(KeyErrorKind::Timeout), "it may yet land");
        bench.pass(S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-1");
        bench.pass(331 * S).await;
    });
    // The same with a key in hand: a refresh that stands still is begun again elsewhere.
    still.block_on(async { bench.version().await.unwrap() });
    bench.store.set("two", "kv-2");
    other.block_on(async {
        bench.pass(12 * S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-1");
        bench.pass(S).await;
        assert_eq!(bench.version().await.unwrap(), "kv-2");
    });
    drop(still);
    other.block_on(async {
        assert_eq!(bench.version().await.unwrap(), "kv-2", "what it brought is too late")
    });
}

/// Panics at the first draw.
#[derive(Debug, Default)]
struct Startled(AtomicUsize);

impl Entropy for Startled {
    fn next(&self) -> u64 {
        assert_ne!(self.0.fetch_add(1, Ordering::SeqCst), 0);
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_as_a_key_is_taken_in_is_a_failure_like_any_other() {
    let bench = Bench::new();
    let settings = CacheSettings::default()
        .with_clock(Arc::new(bench.clock))
        .with_entropy(Arc::new(Startled::default()));
    let bench = Bench { cache: CachedKeys::new(bench.store.clone(), settings).unwrap(), ..bench };
    assert_eq!(bench.version().await, Err(KeyErrorKind::Unavailable));
    bench.pass(S).await;
    assert_eq!(bench.version().await.unwrap(), "kv-1");
}

#[tokio::test(start_paused = true)]
async fn times_without_an_end_are_served() {
    let bench = Bench::new();
    let ever = CacheSettings::default()
        .with_clock(Arc::new(bench.clock))
        .with_soft_ttl(Duration::MAX)
        .with_hard_ttl(Duration::MAX)
        .with_fetch_timeout(Duration::MAX);
    let bench = Bench { cache: CachedKeys::new(bench.store.clone(), ever).unwrap(), ..bench };
    assert_eq!(bench.version().await.unwrap(), "kv-1");
}

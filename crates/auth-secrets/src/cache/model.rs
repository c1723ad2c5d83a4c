//! The cache under every interleaving: one fetch for all, no key served after it was refused, no fetch left behind.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use trunkline_core_types::{
    BoxFuture, Clock, Key, KeyError, KeyErrorKind, KeyProvider, KeySet, SeededEntropy, SystemClock,
};

use crate::sync::model::explore;
use crate::{CacheSettings, CachedKeys};

/// Stands still; the hand is moved where no thread looks.
#[derive(Debug)]
struct Still(Instant, AtomicU32);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::SeqCst).into())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Its version is set by hand; some of its fetches are never answered.
#[derive(Debug)]
struct Store {
    version: Mutex<u32>,
    fetches: AtomicU32,
    under_way: AtomicU32,
    silent: Range<u32>,
}

impl Store {
    fn new(silent: Range<u32>) -> Arc<Self> {
        Arc::new(Self {
            version: Mutex::new(1),
            fetches: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            silent,
        })
    }
}

impl KeyProvider for Store {
    fn keys(&self, _: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(async {
            if self.silent.contains(&self.fetches.fetch_add(1, Ordering::SeqCst)) {
                std::future::pending::<()>().await;
            }
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two fetches at once");
            let version = format!("v{}", *self.version.lock().unwrap());
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(KeySet::single(Key::new(version.as_str().into(), version).unwrap()))
        })
    }
}

struct World {
    clock: Arc<Still>,
    store: Arc<Store>,
    keys: CachedKeys,
}

fn world(silent: Range<u32>) -> World {
    let clock = Arc::new(Still(SystemClock::new().now(), AtomicU32::new(0)));
    let store = Store::new(silent);
    let entropy = Arc::new(SeededEntropy::new(1));
    let settings = CacheSettings::default().with_clock(clock.clone()).with_entropy(entropy);
    let keys = CachedKeys::new(store.clone(), settings).unwrap();
    World { clock, store, keys }
}

impl World {
    fn deadline(&self) -> Instant {
        self.clock.now() + Duration::from_secs(10_000)
    }

    fn version(&self) -> String {
        block_on(self.keys.keys(self.deadline())).unwrap().current.version().to_owned()
    }
}

/// Asks and gives up at once.
fn glance(keys: &CachedKeys, deadline: Instant) {
    let mut asked = keys.keys(deadline);
    let _ = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn one_fetch_at_a_time_serves_all_although_a_caller_gives_up() {
    explore(|| {
        let world = world(0..0);
        let (keys, deadline) = (world.keys.clone(), world.deadline());
        let leaving = thread::spawn(move || glance(&keys, deadline));
        assert_eq!(world.version(), "v1");
        leaving.join().unwrap();
        // Who saw no key just before the first one landed fetches once more.
        assert!(world.store.fetches.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn a_refused_key_is_not_served_again_although_a_refresh_is_under_way() {
    explore(|| {
        let world = world(0..0);
        assert_eq!(world.version(), "v1");
        // Past the soft TTL: the next caller is served the key in hand, and starts a refresh.
        world.clock.1.store(400, Ordering::SeqCst);
        assert_eq!(world.version(), "v1");
        *world.store.version.lock().unwrap() = 2;
        world.keys.invalidate("v1");
        assert_eq!(world.version(), "v2");
        assert_eq!(world.version(), "v2");
    });
}

#[test]
fn the_fetch_under_way_ends_with_the_cache() {
    explore(|| {
        // The second fetch never answers: only an abort ends its thread.
        let world = world(1..u32::MAX);
        let (keys, deadline) = (world.keys.clone(), world.deadline());
        let leaving = thread::spawn(move || glance(&keys, deadline));
        world.keys.invalidate("v1");
        leaving.join().unwrap();
        drop(world);
    });
}

#[test]
fn a_fetch_that_is_stopped_tells_its_waiters_and_lets_the_next_one_start() {
    explore(|| {
        let world = world(0..1);
        glance(&world.keys, world.deadline());
        let (keys, deadline) = (world.keys.clone(), world.deadline());
        let waiting = thread::spawn(move || block_on(keys.keys(deadline)).unwrap_err().kind());
        world.keys.0.0.abort();
        assert_eq!(waiting.join().unwrap(), KeyErrorKind::Unavailable);
        world.clock.1.store(100, Ordering::SeqCst);
        // Stopped before it began, the first fetch did not count.
        world.store.fetches.store(1, Ordering::SeqCst);
        assert_eq!(world.version(), "v1");
    });
}

#[test]
fn a_fetch_that_stands_still_is_given_up_for_one_other() {
    explore(|| {
        // The first fetch never answers.
        let world = world(0..1);
        glance(&world.keys, world.deadline());
        while world.store.fetches.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        world.clock.1.store(100, Ordering::SeqCst);
        // The end of the first one, whenever it comes, is nothing to the second.
        assert_eq!((world.version(), world.version()), ("v1".into(), "v1".into()));
        assert_eq!(world.store.fetches.load(Ordering::SeqCst), 2);
    });
}

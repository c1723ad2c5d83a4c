//! What several tests share.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use trunkline_auth_secrets::StaticKeys;
use trunkline_core_types::{BoxFuture, Clock, Key, KeyError, KeyProvider, KeySet, Origin, SystemClock};

pub(crate) fn origin() -> Origin {
    "https://voice.example.com/v1".parse().unwrap()
}

pub(crate) fn static_keys(value: &str) -> Arc<StaticKeys> {
    Arc::new(StaticKeys::new(value.into()).unwrap())
}

pub(crate) fn request(url: &str, body: &[u8]) -> Request<Bytes> {
    Request::post(url).body(Bytes::copy_from_slice(body)).unwrap()
}

pub(crate) fn now() -> Instant {
    SystemClock::new().now()
}

pub(crate) fn soon() -> Instant {
    now() + Duration::from_secs(10)
}

pub(crate) fn key(value: &str, version: &str) -> KeySet {
    KeySet::single(Key::new(value.into(), version).unwrap())
}

/// A store whose key is set by hand, and which notes what was invalidated.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) now: Mutex<KeySet>,
    pub(crate) invalidated: Mutex<Vec<String>>,
}

impl Shelf {
    pub(crate) fn new(keys: KeySet) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(keys), invalidated: Mutex::default() })
    }
}

impl KeyProvider for Shelf {
    fn keys(&self, _deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        let keys = self.now.lock().unwrap().clone();
        Box::pin(async move { Ok(keys) })
    }

    fn in_hand(&self, _now: Instant) -> Option<Arc<KeySet>> {
        Some(Arc::new(self.now.lock().unwrap().clone()))
    }

    fn invalidate(&self, version: &str) {
        self.invalidated.lock().unwrap().push(version.to_owned());
    }
}

/// Everything that is logged on this thread, at every level.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub(crate) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logged")
    }
}

//! A key store whose key is changed while calls are under way.

use std::sync::Mutex;
use std::time::Instant;

use trunkline::{BoxFuture, KeyError, KeyProvider, KeySet};
use trunkline_core_types::Key;

#[derive(Debug)]
pub(super) struct Rotating(Mutex<(u32, KeySet)>);

impl Rotating {
    pub(super) fn new(value: &str) -> Self {
        Self(Mutex::new((0, set(value, 0))))
    }

    pub(super) fn rotate(&self, value: &str) {
        let mut held = self.0.lock().unwrap();
        held.0 += 1;
        held.1 = set(value, held.0);
    }
}

fn set(value: &str, version: u32) -> KeySet {
    KeySet::single(Key::new(value.into(), format!("v{version}")).unwrap())
}

impl KeyProvider for Rotating {
    fn keys(&self, _: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        let keys = self.0.lock().unwrap().1.clone();
        Box::pin(std::future::ready(Ok(keys)))
    }
}

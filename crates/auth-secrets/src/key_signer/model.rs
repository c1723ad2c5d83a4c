//! A rotation under every interleaving: whoever signed with the old key gets another chance, and the new one is never dropped for it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, StatusCode};
use loom::sync::Mutex;
use loom::thread;
use trunkline_core_types::{BoxFuture, Clock, Key, KeyError, KeyProvider, KeySet, Sign, SystemClock};

use crate::sync::model::explore;
use crate::{BearerSigner, Signers, StaticKeys, XSignatureSigner};

/// Serves the old version until that is invalidated.
#[derive(Debug, Default)]
struct Store {
    invalidated: Mutex<Vec<String>>,
}

impl KeyProvider for Store {
    fn keys(&self, now: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        let keys = KeySet::clone(&self.in_hand(now).unwrap());
        Box::pin(std::future::ready(Ok(keys)))
    }

    fn in_hand(&self, _: Instant) -> Option<Arc<KeySet>> {
        let version = if self.invalidated.lock().unwrap().is_empty() { "old" } else { "new" };
        Some(Arc::new(KeySet::single(Key::new(version.into(), version).unwrap())))
    }

    fn invalidate(&self, version: &str) {
        self.invalidated.lock().unwrap().push(version.to_owned());
    }
}

/// Signs a request and takes it to a provider that accepts the new key only.
fn ask(sign: &dyn Sign, now: Instant) {
    let mut request = Request::post("https://voice.example.com/v1/calls").body(Bytes::new()).unwrap();
    let epoch = sign.sign_at_once(&mut request, now).unwrap().unwrap();
    if request.headers()[AUTHORIZATION] == "Bearer old" {
        assert!(sign.learn(epoch, StatusCode::UNAUTHORIZED, &HeaderMap::new()), "a call was lost");
    } else {
        assert!(!sign.learn(epoch, StatusCode::OK, &HeaderMap::new()));
    }
}

fn rotate(signer: fn(Arc<Store>) -> Arc<dyn Sign>) {
    explore(move || {
        let (store, now) = (Arc::new(Store::default()), SystemClock::new().now());
        let sign = signer(store.clone());
        let other = sign.clone();
        let asking = thread::spawn(move || {
            ask(&*other, now);
            ask(&*other, now);
        });
        ask(&*sign, now);
        asking.join().unwrap();
        assert_eq!(*store.invalidated.lock().unwrap(), ["old"]);
    });
}

fn bearer(store: Arc<Store>) -> BearerSigner {
    BearerSigner::new("https://voice.example.com".parse().unwrap(), store)
}

#[test]
fn a_rotation_loses_no_call_and_drops_one_version() {
    rotate(|store| Arc::new(bearer(store)));
}

#[test]
fn so_does_one_under_a_chain_with_a_key_that_stays() {
    rotate(|store| {
        let fixed = Arc::new(StaticKeys::new("secret".into()).unwrap());
        let body = XSignatureSigner::new("https://voice.example.com".parse().unwrap(), fixed);
        Arc::new(Signers::new(bearer(store)).with_body_signature(body))
    });
}

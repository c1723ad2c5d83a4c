//! Origin, headers, and what a 401 teaches.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Instant;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, StatusCode};
use trunkline_auth_secrets::{
    BasicSigner, BearerSigner, CacheSettings, CachedKeys, Signers, StaticKeys, X_SIGNATURE, XSignatureSigner,
};
use trunkline_core_types::{BoxFuture, KeyError, KeyErrorKind, KeyProvider, KeySet, MacKey, Sign};

use crate::support::{Shelf, key, now, origin, request, soon, static_keys};

const URL: &str = "https://voice.example.com/v1/calls?to=%2B14155550123";

#[tokio::test]
async fn a_signer_signs_for_its_origin_only() {
    let basic = StaticKeys::new("canary-2".into()).unwrap().with_id("AC1");
    let signers: [Box<dyn Sign>; 3] = [
        Box::new(BearerSigner::new(origin(), static_keys("canary-1"))),
        Box::new(BasicSigner::new(origin(), Arc::new(basic))),
        Box::new(XSignatureSigner::new(origin(), static_keys("canary-3"))),
    ];
    for signer in &signers {
        let mut good = request(URL, b"{}");
        signer.sign(&mut good, soon()).await.unwrap();
        assert_eq!(good.headers().len(), 1);
        for url in [
            "https://voice.example.com.evil.example/v1/calls",
            "https://voice.example.com@evil.example/v1/calls",
            "https://user@voice.example.com/v1/calls",
            "https://voice.example.com:8443/v1/calls",
            "https://voice.example.com:99999/v1/calls",
            "https://voice.example.com./v1/calls",
            "http://voice.example.com/v1/calls",
            "http://127.0.0.1/v1/calls",
            "/v1/calls",
        ] {
            let mut other = request(url, b"{}");
            let error = signer.sign(&mut other, soon()).await.unwrap_err();
            assert_eq!(error.kind(), KeyErrorKind::WrongOrigin, "{url}");
            assert!(other.headers().is_empty(), "{url}");
            assert!(error.to_string().contains("base_url"), "{error}");
        }
        assert!(!format!("{signer:?} {good:?}").contains("canary"), "{signer:?}");
    }
}

#[tokio::test]
async fn a_host_header_cannot_carry_the_credential_elsewhere() {
    let signer = BearerSigner::new(origin(), static_keys("token"));
    for (host, fits) in [
        ("voice.example.com", true),
        ("VOICE.example.com", true),
        ("voice.example.com:443", true),
        ("voice.example.com:444", false),
        ("evil.example", false),
        ("", false),
    ] {
        let mut request = request(URL, b"");
        request.headers_mut().insert(HOST, HeaderValue::from_static(host));
        assert_eq!(signer.sign(&mut request, soon()).await.is_ok(), fits, "{host:?}");
        request.headers_mut().insert(HOST, HeaderValue::from_static("voice.example.com"));
        request.headers_mut().append(HOST, HeaderValue::from_static(host));
        assert_eq!(signer.sign(&mut request, soon()).await.is_ok(), fits, "a second one, {host:?}");
    }
}

#[tokio::test]
async fn a_chain_signs_the_body_last_and_replaces_what_was_there() {
    let chain = Signers::new(BearerSigner::new(origin(), static_keys("token")))
        .with_body_signature(XSignatureSigner::new(origin(), static_keys("secret")))
        .and(Appender::default());
    let mut request = request(URL, b"body");
    request.headers_mut().append(X_SIGNATURE, HeaderValue::from_static("stale"));
    request.headers_mut().append(X_SIGNATURE, HeaderValue::from_static("staler"));
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("stale"));
    chain.sign(&mut request, soon()).await.unwrap();
    let all = |name| request.headers().get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all(AUTHORIZATION), ["Bearer token"]);
    assert_eq!(all(X_SIGNATURE), [MacKey::new(b"secret").x_signature(b"body!").as_str()]);
}

#[test]
fn every_signer_of_a_chain_hears_of_every_reply() {
    let all: [Appender; 3] = Default::default();
    let [first, second, last] = all.clone();
    let chain = Signers::new(first).with_body_signature(last).and(second);
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        assert!(!chain.learn(chain.epoch(), status, &HeaderMap::new()));
    }
    for appender in all {
        assert_eq!(*appender.heard.lock().unwrap(), [StatusCode::OK, StatusCode::UNAUTHORIZED]);
    }
}

/// Changes the body, so that an order other than ours shows, and keeps what it hears.
#[derive(Debug, Clone, Default)]
struct Appender {
    heard: Arc<Mutex<Vec<StatusCode>>>,
}

impl Sign for Appender {
    fn sign<'a>(
        &'a self,
        request: &'a mut http::Request<bytes::Bytes>,
        _deadline: Instant,
    ) -> trunkline_core_types::BoxFuture<'a, Result<(), trunkline_core_types::KeyError>> {
        *request.body_mut() = [request.body(), &b"!"[..]].concat().into();
        Box::pin(std::future::ready(Ok(())))
    }

    fn learn(&self, _: u64, status: StatusCode, _: &HeaderMap) -> bool {
        self.heard.lock().unwrap().push(status);
        false
    }
}

#[tokio::test]
async fn a_new_version_is_signed_with_at_once() {
    let shelf = Shelf::new(key("one", "kv-1"));
    let signer = BearerSigner::new(origin(), shelf.clone());
    for (value, version) in [("one", "kv-1"), ("two", "kv-2"), ("one", "kv-3")] {
        *shelf.now.lock().unwrap() = key(value, version);
        let mut request = request(URL, b"");
        signer.sign(&mut request, soon()).await.unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], format!("Bearer {value}"));
    }
}

#[tokio::test]
async fn a_401_is_learnt_once_for_each_version_and_by_every_signer() {
    let (token, secret) = (Shelf::new(key("one", "kv-1")), Shelf::new(key("mac", "kv-9")));
    let chain = Signers::new(BearerSigner::new(origin(), token.clone()))
        .with_body_signature(XSignatureSigner::new(origin(), secret.clone()));
    let learn = |status| chain.learn(chain.epoch(), status, &HeaderMap::new());
    assert!(!learn(StatusCode::UNAUTHORIZED), "nothing was signed yet");

    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(!learn(StatusCode::FORBIDDEN) && !learn(StatusCode::OK));
    assert!(learn(StatusCode::UNAUTHORIZED));
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(!learn(StatusCode::UNAUTHORIZED), "the store still has that version");
    assert_eq!(*token.invalidated.lock().unwrap(), ["kv-1"]);
    assert_eq!(*secret.invalidated.lock().unwrap(), ["kv-9"]);

    *token.now.lock().unwrap() = key("two", "kv-2");
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(learn(StatusCode::UNAUTHORIZED));
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(!learn(StatusCode::UNAUTHORIZED), "the store still has that version");
    assert_eq!(*token.invalidated.lock().unwrap(), ["kv-1", "kv-2"]);
}

#[tokio::test]
async fn a_401_that_comes_late_refuses_no_newer_key() {
    let (token, secret) = (Shelf::new(key("one", "kv-1")), Shelf::new(key("mac", "kv-9")));
    let chain = Signers::new(BearerSigner::new(origin(), token.clone()))
        .with_body_signature(XSignatureSigner::new(origin(), secret.clone()));
    let learn = |epoch| chain.learn(epoch, StatusCode::UNAUTHORIZED, &HeaderMap::new());
    let old = chain.epoch();
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(learn(old));
    assert!(learn(old), "another request that kv-1 signed: it is dropped, and asking again fetches");
    *token.now.lock().unwrap() = key("two", "kv-2");
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(learn(old), "signed by kv-1; the next is signed by kv-2");
    assert_eq!(*token.invalidated.lock().unwrap(), ["kv-1"]);
    assert!(learn(chain.epoch()), "kv-2 has its own one chance");
    chain.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(!learn(chain.epoch()), "kv-2 was fetched anew and is refused all the same");
}

/// A provider whose check of keys fails for a moment, and a rotation later.
#[tokio::test]
async fn a_version_that_was_accepted_since_its_drop_may_be_dropped_again() {
    let shelf = Shelf::new(key("one", "kv-1"));
    let signer = Signers::new(BearerSigner::new(origin(), shelf.clone()));
    let ask = |status| {
        let epoch = signer.sign_at_once(&mut request(URL, b""), now()).unwrap().unwrap();
        signer.learn(epoch, status, &HeaderMap::new())
    };
    assert!(ask(StatusCode::UNAUTHORIZED) && !ask(StatusCode::UNAUTHORIZED));
    assert!(!ask(StatusCode::INTERNAL_SERVER_ERROR) && !ask(StatusCode::UNAUTHORIZED), "no proof");
    assert!(!ask(StatusCode::OK));
    assert!(ask(StatusCode::UNAUTHORIZED) && !ask(StatusCode::UNAUTHORIZED));
    assert_eq!(*shelf.invalidated.lock().unwrap(), ["kv-1", "kv-1"]);
}

/// Two versions that take turns, as the two keys of an account do.
#[tokio::test]
async fn so_may_one_that_came_back_and_was_accepted() {
    let shelf = Shelf::new(key("one", "blue"));
    let signer = BearerSigner::new(origin(), shelf.clone());
    let ask = |status| {
        let epoch = signer.sign_at_once(&mut request(URL, b""), now()).unwrap().unwrap();
        signer.learn(epoch, status, &HeaderMap::new())
    };
    assert!(!ask(StatusCode::OK) && ask(StatusCode::UNAUTHORIZED), "drops blue");
    *shelf.now.lock().unwrap() = key("two", "green");
    assert!(!ask(StatusCode::OK));
    // In time this once: nobody is refused.
    *shelf.now.lock().unwrap() = key("three", "blue");
    assert!(!ask(StatusCode::OK));
    assert!(ask(StatusCode::UNAUTHORIZED) && !ask(StatusCode::UNAUTHORIZED));
    assert_eq!(*shelf.invalidated.lock().unwrap(), ["blue", "blue"]);
}

/// One thread has read the key and not yet signed with it when another one drops it.
#[tokio::test]
async fn a_signature_with_a_key_read_before_its_drop_forbids_nobody_another_chance() {
    let signer = BearerSigner::new(origin(), Arc::new(Unhurried(Shelf::new(key("one", "kv-1")))));
    let learn = |epoch| signer.learn(epoch, StatusCode::UNAUTHORIZED, &HeaderMap::new());
    let epochs = [signer.epoch(); 3];
    signer.sign(&mut request(URL, b""), soon()).await.unwrap();

    let mut late = request(URL, b"");
    let mut signing = signer.sign(&mut late, soon());
    assert!(signing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(learn(epochs[0]), "drops kv-1");
    signing.await.unwrap();
    assert_eq!(late.headers()[AUTHORIZATION], "Bearer one");
    assert!(learn(epochs[1]), "it was under way when kv-1 was dropped");
    assert!(learn(epochs[2]), "the late one: its key may be from before the drop, and is");

    let anew = signer.epoch();
    signer.sign(&mut request(URL, b""), soon()).await.unwrap();
    assert!(!learn(anew), "asked for after the drop, and still kv-1");
}

/// A key store whose answer takes a while after it was read.
#[derive(Debug)]
struct Unhurried(Arc<Shelf>);

impl KeyProvider for Unhurried {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        let read = self.0.keys(deadline);
        Box::pin(async move {
            tokio::task::yield_now().await;
            read.await
        })
    }
}

#[test]
fn signing_at_once_tells_the_epoch_of_the_keys_that_signed() {
    let (token, secret) = (Shelf::new(key("one", "kv-1")), Shelf::new(key("mac", "kv-9")));
    let chain = Signers::new(BearerSigner::new(origin(), token.clone()))
        .with_body_signature(XSignatureSigner::new(origin(), secret.clone()));
    let sign = || chain.sign_at_once(&mut request(URL, b""), now()).unwrap().unwrap();
    let learn = |epoch| chain.learn(epoch, StatusCode::UNAUTHORIZED, &HeaderMap::new());
    let old = sign();
    *token.now.lock().unwrap() = key("two", "kv-2");
    let new = sign();
    assert!(learn(old) && token.invalidated.lock().unwrap().is_empty());
    assert!(learn(new) && *token.invalidated.lock().unwrap() == ["kv-2"]);
}

#[tokio::test]
async fn keys_that_cannot_be_sent_are_refused_unseen() {
    let refused: [Box<dyn Sign>; 3] = [
        Box::new(BearerSigner::new(origin(), static_keys("canary\r\nx-evil: 1"))),
        Box::new(BearerSigner::new(origin(), static_keys("canary with space"))),
        Box::new(BasicSigner::new(origin(), static_keys("canary"))),
    ];
    for signer in refused {
        let mut request = request(URL, b"");
        let error = signer.sign(&mut request, soon()).await.unwrap_err();
        assert_eq!(error.kind(), KeyErrorKind::Invalid);
        assert!(request.headers().is_empty() && !format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert!(StaticKeys::new("".into()).is_err());
}

#[tokio::test]
async fn a_previous_key_is_handed_on_and_never_signs() {
    let keys = StaticKeys::new("new".into()).unwrap().with_previous("old".into()).unwrap();
    assert_eq!(keys.keys(soon()).await.unwrap().previous.unwrap().expose(), "old");
    let mut request = request(URL, b"");
    BearerSigner::new(origin(), Arc::new(keys)).sign(&mut request, soon()).await.unwrap();
    assert_eq!(request.headers()[AUTHORIZATION], "Bearer new");
}

#[tokio::test]
async fn warming_fetches_every_key_and_none_for_another_origin() {
    let shelves = ["kv-1", "kv-2"].map(|version| Shelf::new(key("value", version)));
    let [bearer, secret] = shelves.clone();
    let signers = Signers::new(BearerSigner::new(origin(), bearer))
        .with_body_signature(XSignatureSigner::new(origin(), secret));
    let refuse =
        |signers: &Signers| signers.learn(signers.epoch(), StatusCode::UNAUTHORIZED, &HeaderMap::new());
    signers.warm(&request("https://evil.example/v1/calls", b"{}"), soon()).await;
    assert!(!refuse(&signers));
    signers.warm(&request(URL, b"{}"), soon()).await;
    assert!(refuse(&signers));
    assert_eq!(shelves.map(|shelf| shelf.invalidated.lock().unwrap().clone()), [["kv-1"], ["kv-2"]]);
}

#[tokio::test]
async fn with_keys_in_hand_a_signer_signs_at_once_and_the_same() {
    let chain = |first: Arc<dyn KeyProvider>| {
        Signers::new(BearerSigner::new(origin(), first))
            .with_body_signature(XSignatureSigner::new(origin(), static_keys("secret")))
    };
    let ready = chain(static_keys("token"));
    let (mut at_once, mut waited) = (request(URL, b"{}"), request(URL, b"{}"));
    assert!(ready.is_ready(now()));
    assert_eq!(ready.sign_at_once(&mut at_once, now()).unwrap().unwrap(), ready.epoch());
    ready.sign(&mut waited, soon()).await.unwrap();
    assert_eq!(at_once.headers(), waited.headers());
    assert_eq!(at_once.headers().len(), 2);

    let mut elsewhere = request("https://evil.example/v1/calls", b"{}");
    let error = ready.sign_at_once(&mut elsewhere, now()).unwrap().unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::WrongOrigin);
    assert!(elsewhere.headers().is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_in_hand_is_waited_for() {
    let cache = CachedKeys::new(static_keys("token"), CacheSettings::default()).unwrap();
    let signer = BearerSigner::new(origin(), Arc::new(cache));
    let mut request = request(URL, b"{}");
    assert!(!signer.is_ready(now()));
    assert!(signer.sign_at_once(&mut request, now()).is_none());
    assert!(request.headers().is_empty());
    signer.warm(&request, soon()).await;
    assert!(signer.is_ready(now()));
    let epoch = signer.sign_at_once(&mut request, now()).unwrap().unwrap();
    assert!(signer.learn(epoch, StatusCode::UNAUTHORIZED, &HeaderMap::new()));
    assert!(!signer.is_ready(now()), "a refused key is not in hand any more");
}

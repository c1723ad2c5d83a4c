//! Keys from a real Vault: logins, rotation, revocation, outage.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use trunkline_auth_secrets::{CacheSettings, CachedKeys, VaultKeys, VaultLogin, VaultSettings};
use trunkline_core_types::{
    BoxFuture, Clock, Fact, KeyErrorKind, KeyProvider, KeySet, Observer, SystemClock,
};
use trunkline_tests::{Admin, OwnVault};

const S: Duration = Duration::from_secs(1);

/// The cache's clock: TTLs pass when told to, while Vault's answers take real time.
#[derive(Debug, Clone)]
struct HandClock(Arc<Mutex<Instant>>);

impl HandClock {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _at: Instant) -> BoxFuture<'static, ()> {
        // Nothing is waited out: each read of Vault ends by its own real deadline.
        Box::pin(std::future::pending())
    }
}

#[derive(Debug, Default)]
struct Facts {
    seen: Mutex<Vec<Fact>>,
    fetched: Notify,
}

impl Observer for Facts {
    fn saw(&self, fact: Fact) {
        self.seen.lock().unwrap().push(fact);
        if matches!(fact, Fact::KeyFetch { .. }) {
            self.fetched.notify_waiters();
        }
    }
}

/// A cache around a Vault key, with its time and its facts in the test's hand.
struct Cached {
    keys: CachedKeys,
    clock: HandClock,
    facts: Arc<Facts>,
}

impl Cached {
    fn new(settings: VaultSettings) -> Self {
        let clock = HandClock(Arc::new(Mutex::new(SystemClock::new().now())));
        let facts = Arc::new(Facts::default());
        let cache = CacheSettings::default().with_clock(Arc::new(clock.clone())).with_observer(facts.clone());
        let vault = Arc::new(VaultKeys::new(settings).unwrap());
        Self { keys: CachedKeys::new(vault, cache).unwrap(), clock, facts }
    }

    async fn keys(&self) -> Result<KeySet, KeyErrorKind> {
        self.keys.keys(self.clock.now() + 10 * S).await.map_err(|error| error.kind())
    }

    async fn value(&self) -> Result<String, KeyErrorKind> {
        self.keys().await.map(|keys| keys.current.expose().to_owned())
    }

    /// Past the soft TTL: the next call is a hit that refreshes; waits for the end of that refresh.
    async fn refresh(&self) -> String {
        self.facts.seen.lock().unwrap().clear();
        let fetched = self.facts.fetched.notified();
        tokio::pin!(fetched);
        fetched.as_mut().enable();
        self.clock.pass(331 * S);
        let served = self.value().await.unwrap();
        fetched.await;
        served
    }
}

async fn read(settings: VaultSettings) -> Result<KeySet, trunkline_core_types::KeyError> {
    VaultKeys::new(settings).unwrap().keys(SystemClock::new().now() + 10 * S).await
}

#[tokio::test]
async fn a_token_reads_value_id_and_version() {
    let admin = Admin::shared();
    let mount = admin.engine("token").await;
    admin.write(&mount, json!({"auth_token": "one", "sid": "AC1"})).await;
    admin.write(&mount, json!({"auth_token": "two", "sid": "AC2", "note": 7})).await;
    let settings = admin.settings(&mount, admin.root()).with_field("auth_token").with_id_field("sid");
    let key = read(settings).await.unwrap().current;
    assert_eq!((key.expose(), key.id(), key.version()), ("two", Some("AC2"), "kv-2"));
    for field in ["absent", "note"] {
        let error = read(admin.settings(&mount, admin.root()).with_field(field)).await.unwrap_err();
        assert_eq!(error.kind(), KeyErrorKind::Invalid);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test]
async fn an_app_role_reads_what_its_policy_allows_and_nothing_else() {
    let admin = Admin::shared();
    let mount = admin.engine("approle").await;
    admin.write(&mount, json!({"value": "mine"})).await;
    let login = admin.app_role(&mount).await;
    assert_eq!(read(admin.settings(&mount, login.clone())).await.unwrap().current.expose(), "mine");
    let other = VaultSettings::new(&admin.address, &mount, "billing/key", login);
    let error = read(other).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Denied);
    assert!(error.to_string().contains("billing/key") && error.to_string().contains("policy"), "{error}");
}

#[tokio::test]
async fn a_wrong_secret_id_and_an_unknown_mount_are_denied() {
    let admin = Admin::shared();
    let mount = admin.engine("wrong").await;
    admin.app_role(&mount).await;
    for login_mount in [mount.as_str(), "nowhere"] {
        let login = VaultLogin::app_role(login_mount, "no-such-role", "canary-secret".into());
        let error = read(admin.settings(&mount, login)).await.unwrap_err();
        assert_eq!(error.kind(), KeyErrorKind::Denied);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    let dead = VaultLogin::Token("hvs.no-such-token".into());
    assert_eq!(read(admin.settings(&mount, dead)).await.unwrap_err().kind(), KeyErrorKind::Denied);
}

#[tokio::test]
async fn a_rotation_is_seen_after_the_refresh_and_the_old_key_until_it_is_destroyed() {
    let admin = Admin::shared();
    let mount = admin.engine("rotation").await;
    admin.write(&mount, json!({"value": "old"})).await;
    let login = admin.app_role(&mount).await;
    let cached = Cached::new(admin.settings(&mount, login).with_previous());
    assert_eq!(cached.value().await.unwrap(), "old");
    admin.write(&mount, json!({"value": "new"})).await;
    assert_eq!(cached.value().await.unwrap(), "old");
    assert_eq!(cached.refresh().await, "old", "the hit that starts the refresh");
    let keys = cached.keys().await.unwrap();
    assert_eq!((keys.current.expose(), keys.current.version()), ("new", "kv-2"));
    assert_eq!(keys.previous.unwrap().expose(), "old");

    admin.ok("PUT", &format!("{mount}/destroy/voice/key"), json!({"versions": [1]})).await;
    cached.keys.invalidate("kv-2");
    let keys = cached.keys().await.unwrap();
    assert_eq!((keys.current.expose(), keys.previous.is_none()), ("new", true));
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_a_fresh_login() {
    let admin = Admin::shared();
    let mount = admin.engine("relogin").await;
    admin.write(&mount, json!({"value": "v"})).await;
    let keys = VaultKeys::new(admin.settings(&mount, admin.app_role(&mount).await)).unwrap();
    let deadline = SystemClock::new().now() + 20 * S;
    keys.keys(deadline).await.unwrap();
    let revoke = format!("sys/leases/revoke-prefix/auth/{mount}/login");
    admin.ok("PUT", &revoke, json!({"sync": true})).await;
    assert_eq!(keys.keys(deadline).await.unwrap().current.expose(), "v");
    // The role gone as well: the login is refused, and that is a revocation.
    admin.ok("PUT", &revoke, json!({"sync": true})).await;
    admin.ok("DELETE", &format!("auth/{mount}/role/voice"), Value::Null).await;
    assert_eq!(keys.keys(deadline).await.unwrap_err().kind(), KeyErrorKind::Denied);
}

#[tokio::test]
async fn a_token_is_renewed_where_another_login_is_impossible() {
    let admin = Admin::shared();
    let mount = admin.engine("renewal").await;
    admin.write(&mount, json!({"value": "v"})).await;
    admin.app_role(&mount).await;
    let role = format!("auth/{mount}/role/voice");
    let once = admin.ok("POST", &format!("{role}/secret-id"), json!({"num_uses": 1})).await;
    let role_id = admin.ok("GET", &format!("{role}/role-id"), Value::Null).await;
    let login = VaultLogin::app_role(
        &mount,
        role_id["data"]["role_id"].as_str().unwrap(),
        once["data"]["secret_id"].as_str().unwrap().into(),
    );
    let clock = HandClock(Arc::new(Mutex::new(SystemClock::new().now())));
    let keys = VaultKeys::with_clock(admin.settings(&mount, login), Arc::new(clock.clone())).unwrap();
    let read = || async { keys.keys(clock.now() + 10 * S).await.map_err(|error| error.kind()) };
    for _ in 0..4 {
        // The token lasts 600 s: without a renewal it would be over at the second pass.
        assert_eq!(read().await.unwrap().current.expose(), "v");
        clock.pass(401 * S);
    }
    clock.pass(600 * S);
    assert_eq!(
        read().await.unwrap_err(),
        KeyErrorKind::Denied,
        "the secret id was used up at the first login"
    );
}

#[tokio::test]
async fn tls_is_verified_against_the_named_ca_file() {
    let folder = std::env::temp_dir().join(format!("trunkline-vault-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();

    // Set up over plain http, then the same storage over TLS.
    let plain = OwnVault::start(&["-data", &file("data")]);
    let mount = plain.admin.engine("tls").await;
    plain.admin.write(&mount, json!({"value": "over tls"})).await;
    let (token, unseal) = (plain.admin.token.clone(), plain.unseal_key.clone());
    drop(plain);
    let tls = OwnVault::start(&[
        "-data",
        &file("data"),
        "-unseal",
        &unseal,
        "-tls-cert",
        &file("cert.pem"),
        "-tls-key",
        &file("key.pem"),
    ]);
    let address = tls.admin.address.replace("127.0.0.1", "localhost");
    assert!(address.starts_with("https://"), "{address}");
    let login = || VaultLogin::Token(token.as_str().into());
    let settings = || VaultSettings::new(&address, &mount, "voice/key", login());
    let trusted = read(settings().with_ca_file(file("cert.pem"))).await;
    let unknown = read(settings()).await.unwrap_err();
    drop(tls);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(trusted.unwrap().current.expose(), "over tls");
    assert_eq!(unknown.kind(), KeyErrorKind::Unavailable);
    assert!(unknown.to_string().contains("ca_file"), "{unknown}");
}

#[tokio::test]
async fn a_policy_that_is_taken_away_revokes_the_cached_key() {
    let admin = Admin::shared();
    let mount = admin.engine("policy").await;
    admin.write(&mount, json!({"value": "v"})).await;
    let cached = Cached::new(admin.settings(&mount, admin.app_role(&mount).await));
    cached.value().await.unwrap();
    admin.ok("DELETE", &format!("sys/policies/acl/{mount}"), Value::Null).await;
    cached.refresh().await;
    assert_eq!(cached.value().await, Err(KeyErrorKind::Denied));
}

#[tokio::test]
async fn a_deleted_or_destroyed_version_is_never_served_stale() {
    let admin = Admin::shared();
    for (how, path) in [("deleted", "delete"), ("destroyed", "destroy")] {
        let mount = admin.engine(how).await;
        admin.write(&mount, json!({"value": "v"})).await;
        let cached = Cached::new(admin.settings(&mount, admin.root()));
        cached.value().await.unwrap();
        admin.ok("PUT", &format!("{mount}/{path}/voice/key"), json!({"versions": [1]})).await;
        cached.refresh().await;
        assert_eq!(cached.value().await, Err(KeyErrorKind::Denied), "{how}");
        assert!(!cached.facts.seen.lock().unwrap().iter().any(|fact| matches!(fact, Fact::KeyStale { .. })));
        let error = read(admin.settings(&mount, admin.root())).await.unwrap_err();
        assert!(error.to_string().contains("version 1"), "{error}");
    }
    let mount = admin.engine("empty").await;
    assert_eq!(read(admin.settings(&mount, admin.root())).await.unwrap_err().kind(), KeyErrorKind::Missing);
}

#[tokio::test]
async fn a_sealed_vault_is_bridged_until_the_hard_ttl_and_no_longer() {
    let own = OwnVault::start(&[]);
    let mount = own.admin.engine("sealed").await;
    own.admin.write(&mount, json!({"value": "last good"})).await;
    let cached = Cached::new(own.admin.settings(&mount, own.admin.app_role(&mount).await));
    cached.value().await.unwrap();
    own.admin.ok("PUT", "sys/seal", json!({})).await;
    let error = read(own.admin.settings(&mount, own.admin.root())).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Unavailable);
    assert!(error.to_string().contains("unseal"), "{error}");

    assert_eq!(cached.refresh().await, "last good");
    assert_eq!(cached.value().await.unwrap(), "last good");
    let stale = |fact: &Fact| matches!(fact, Fact::KeyStale { backend: "vault", age } if *age >= 331 * S);
    assert!(cached.facts.seen.lock().unwrap().iter().any(stale));
    cached.clock.pass(3600 * S);
    assert_eq!(cached.value().await, Err(KeyErrorKind::Unavailable));

    own.admin.ok("PUT", "sys/unseal", json!({ "key": own.unseal_key })).await;
    cached.clock.pass(11 * S);
    assert_eq!(cached.value().await.unwrap(), "last good");
}

#[tokio::test]
async fn an_unreachable_vault_is_an_outage() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings = VaultSettings::new(address, "kv", "voice/key", VaultLogin::Token("hvs.canary".into()));
    let error = read(settings).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Unavailable);
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[tokio::test]
async fn a_used_up_quota_is_an_outage() {
    let admin = Admin::shared();
    let mount = admin.engine("quota").await;
    admin.write(&mount, json!({"value": "v"})).await;
    let quota = json!({"path": mount, "rate": 1, "interval": "60s"});
    admin.ok("POST", &format!("sys/quotas/rate-limit/{mount}"), quota).await;
    read(admin.settings(&mount, admin.root())).await.unwrap();
    let error = read(admin.settings(&mount, admin.root())).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Unavailable);
    assert!(error.to_string().contains("quota"), "{error}");
}

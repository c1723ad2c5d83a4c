//! Vault played by a scripted loopback server: answers that a real one gives too rarely, or only when broken.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use trunkline_auth_secrets::{CacheSettings, CachedKeys, VaultKeys, VaultLogin, VaultSettings};
use trunkline_core_types::{Clock, KeyErrorKind, KeyProvider};

use self::server::{HandClock, Server, json, login, secret, status};
use crate::local::Folder;
use crate::support::Logged;

const S: Duration = Duration::from_secs(1);

fn app_role() -> VaultLogin {
    VaultLogin::app_role("approle", "role-1", "canary-secret-id".into())
}

fn settings(server: &Server, login: VaultLogin) -> VaultSettings {
    VaultSettings::new(server.address(), "kv", "voice/api-key", login)
}

fn keys(clock: &HandClock, settings: VaultSettings) -> VaultKeys {
    VaultKeys::with_clock(settings, Arc::new(clock.clone())).unwrap()
}

async fn version(clock: &HandClock, keys: &dyn KeyProvider) -> Result<String, KeyErrorKind> {
    let read = keys.keys(clock.now() + 10 * S).await;
    read.map(|keys| keys.current.version().to_owned()).map_err(|error| error.kind())
}

#[tokio::test]
async fn value_id_and_version_come_in_one_request() {
    let server = Server::start(|_| json(200, &secret(3, r#"{"token":"canary","sid":"AC1"}"#))).await;
    let clock = HandClock::new();
    let given = settings(&server, VaultLogin::Token("hvs.canary-token".into()))
        .with_field("token")
        .with_id_field("sid")
        .with_namespace("team-a");
    let keys = keys(&clock, given);
    let read = keys.keys(clock.now() + S).await.unwrap();
    assert_eq!((read.current.expose(), read.current.id()), ("canary", Some("AC1")));
    assert_eq!((read.current.version(), read.previous.is_none()), ("kv-3", true));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let head = requests[0].to_lowercase();
    assert!(head.starts_with("get /v1/kv/data/voice/api-key?"), "{head}");
    assert!(head.contains("x-vault-token: hvs.canary-token") && head.contains("x-vault-namespace: team-a"));
    assert!(!format!("{keys:?} {read:?}").contains("canary"), "{keys:?}");
}

#[tokio::test]
async fn the_previous_version_is_read_only_where_asked_for_and_may_be_gone() {
    let gone = r#"{"data":{"data":null,"metadata":{"version":4,"destroyed":true}}}"#;
    for (old, expected) in [
        (json(200, &secret(4, r#"{"value":"old"}"#)), Some("old")),
        (json(404, gone), None),
        (status(500), None),
    ] {
        let server = Server::start(move |request| match request.contains("version=4") {
            true => old.clone(),
            false => json(200, &secret(5, r#"{"value":"new"}"#)),
        })
        .await;
        let clock = HandClock::new();
        let given = settings(&server, VaultLogin::Token("t".into())).with_previous();
        let read = keys(&clock, given).keys(clock.now() + S).await.unwrap();
        assert_eq!(read.previous.as_ref().map(|key| key.expose()), expected);
        assert_eq!((read.current.version(), server.requests().len()), ("kv-5", 2));
    }
}

#[tokio::test]
async fn a_login_is_kept_renewed_at_two_thirds_and_replaced_at_its_end() {
    let server = Server::start(|request| {
        if request.starts_with("POST /v1/auth/") {
            return json(200, &login("hvs.one", 90, true));
        }
        json(200, &secret(1, r#"{"value":"v"}"#))
    })
    .await;
    let clock = HandClock::new();
    let keys = keys(&clock, settings(&server, app_role()));
    let asked = |path: &str| server.requests().iter().filter(|request| request.contains(path)).count();
    let counts = || (asked("auth/approle/login"), asked("auth/token/renew-self"));
    for (pass, expected) in [(0, (1, 0)), (59, (1, 0)), (2, (1, 1)), (59, (1, 1)), (2, (1, 2)), (85, (2, 2))]
    {
        clock.pass(pass * S);
        version(&clock, &keys).await.unwrap();
        assert_eq!(counts(), expected, "after another {pass} s");
    }
    let first = &server.requests()[0];
    assert!(
        first.contains(r#""secret_id":"canary-secret-id""#)
            && !first.to_lowercase().contains("x-vault-token")
    );
}

#[tokio::test]
async fn a_renewal_that_gives_too_little_or_is_refused_is_a_login_and_an_outage_is_neither() {
    for (renewal, logins) in [
        (json(200, &login("hvs.one", 20, true)), 2),
        (json(403, r#"{"errors":["permission denied"]}"#), 2),
        (json(400, r#"{"errors":["lease is not renewable"]}"#), 2),
        (status(500), 1),
        (status(503), 1),
    ] {
        let answer = renewal.clone();
        let server = Server::start(move |request| match request {
            renew if renew.contains("renew-self") => answer.clone(),
            again if again.contains("/login") => json(200, &login("hvs.one", 90, true)),
            _ => json(200, &secret(1, r#"{"value":"v"}"#)),
        })
        .await;
        let clock = HandClock::new();
        let keys = keys(&clock, settings(&server, app_role()));
        version(&clock, &keys).await.unwrap();
        clock.pass(61 * S);
        version(&clock, &keys).await.unwrap();
        let asked = server.requests().iter().filter(|request| request.contains("/login")).count();
        assert_eq!(asked, logins, "{renewal}");
    }
}

/// Where Vault reads and does not write, a token that lasts is still good.
#[tokio::test]
async fn a_renewal_or_login_that_fails_or_hangs_keeps_no_read_from_a_token_that_lasts() {
    for (renewable, out) in
        [(true, String::new()), (false, String::new()), (false, status(503)), (false, status(500))]
    {
        let server = Server::start(move |request| match request {
            first if first.contains("/login") => json(200, &login("hvs.one", 90, renewable)),
            _ => json(200, &secret(1, r#"{"value":"v"}"#)),
        })
        .await;
        let clock = HandClock::new();
        let keys = Arc::new(keys(&clock, settings(&server, app_role())));
        version(&clock, &*keys).await.unwrap();
        let hangs = out.is_empty();
        server.answer(move |request| match request {
            write if write.starts_with("POST") => out.clone(),
            _ => json(200, &secret(2, r#"{"value":"v"}"#)),
        });
        clock.pass(61 * S);
        server.asked().await;
        let call = tokio::spawn({
            let (clock, keys) = (clock.clone(), keys.clone());
            async move { version(&clock, &*keys).await }
        });
        server.asked().await;
        if hangs {
            clock.pass(2 * S);
        }
        assert_eq!(call.await.unwrap().as_deref(), Ok("kv-2"), "{renewable}");
        clock.pass(30 * S);
        server.answer(|request| match request {
            again if again.contains("/login") => json(200, &login("hvs.two", 90, true)),
            new if new.contains("hvs.two") => json(200, &secret(3, r#"{"value":"v"}"#)),
            _ => json(403, r#"{"errors":["permission denied"]}"#),
        });
        assert_eq!(version(&clock, &*keys).await.as_deref(), Ok("kv-3"));
    }
}

/// As is the fetch of a cache whose runtime stands still.
#[tokio::test]
async fn a_login_that_is_held_without_being_polled_is_waited_for_for_seconds_only() {
    let server = Server::start(|_| String::new()).await;
    let clock = HandClock::new();
    let keys = keys(&clock, settings(&server, app_role()));
    let mut held = keys.keys(clock.now() + 10 * S);
    // Polled until the server has its request, and not again.
    futures_util::future::select(&mut held, std::pin::pin!(server.asked())).await;
    server.answer(|request| match request {
        first if first.contains("/login") => json(200, &login("hvs.one", 90, true)),
        _ => json(200, &secret(1, r#"{"value":"v"}"#)),
    });
    let mut waiting = keys.keys(clock.now() + 10 * S);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.pass(5 * S);
    assert_eq!(waiting.await.unwrap_err().kind(), KeyErrorKind::Timeout);
    clock.pass(2 * S);
    assert_eq!(version(&clock, &keys).await.as_deref(), Ok("kv-1"));
    drop(held);
    assert_eq!(version(&clock, &keys).await.as_deref(), Ok("kv-1"));
    assert_eq!(server.requests().iter().filter(|request| request.contains("/login")).count(), 2);
}

#[tokio::test]
async fn a_403_is_answered_with_one_login_and_one_repeat_for_all_callers() {
    let server = Server::start(|request| match request {
        first if first.contains("/login") => json(200, &login("hvs.token", 3600, true)),
        _ => json(403, r#"{"errors":["permission denied"]}"#),
    })
    .await;
    let clock = HandClock::new();
    let keys = Arc::new(keys(&clock, settings(&server, app_role())));
    let logins = || server.requests().iter().filter(|request| request.contains("/login")).count();
    assert_eq!(version(&clock, &*keys).await, Err(KeyErrorKind::Denied));
    assert_eq!(logins(), 1, "the token was made for this read");

    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (clock, keys) = (clock.clone(), keys.clone());
            tokio::spawn(async move { version(&clock, &*keys).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Err(KeyErrorKind::Denied));
    }
    assert_eq!(logins(), 2);
    clock.pass(9 * S);
    assert_eq!(version(&clock, &*keys).await, Err(KeyErrorKind::Denied));
    assert_eq!(logins(), 2, "a login within 10 s of the last one");
    clock.pass(S);
    assert_eq!(version(&clock, &*keys).await, Err(KeyErrorKind::Denied));
    assert_eq!(logins(), 3);
}

#[tokio::test]
async fn a_403_with_vault_out_at_the_login_is_an_outage() {
    let server = Server::start(|request| match request {
        first if first.contains("/login") => json(200, &login("hvs.token", 3600, true)),
        _ => json(200, &secret(1, r#"{"value":"v"}"#)),
    })
    .await;
    let clock = HandClock::new();
    let keys = keys(&clock, settings(&server, app_role()));
    version(&clock, &keys).await.unwrap();
    server.answer(|request| match request {
        again if again.contains("/login") => json(503, r#"{"errors":["Vault is sealed"]}"#),
        _ => json(403, r#"{"errors":["permission denied","invalid token"]}"#),
    });
    assert_eq!(version(&clock, &keys).await, Err(KeyErrorKind::Unavailable));
    server.answer(|request| match request {
        again if again.contains("/login") => json(200, &login("hvs.other", 3600, true)),
        read if read.contains("hvs.other") => json(200, &secret(2, r#"{"value":"v"}"#)),
        _ => json(403, r#"{"errors":["permission denied"]}"#),
    });
    assert_eq!(version(&clock, &keys).await.unwrap(), "kv-2");
}

#[tokio::test]
async fn one_login_replaces_a_revoked_token_for_all_callers() {
    let live = Arc::new(AtomicUsize::new(1));
    let server = Server::start({
        let live = live.clone();
        let logins = AtomicUsize::new(0);
        move |request| match request {
            again if again.contains("/login") => {
                json(200, &login(&format!("hvs.{}", logins.fetch_add(1, Ordering::SeqCst) + 1), 3600, true))
            }
            read if read.contains(&format!("hvs.{}", live.load(Ordering::SeqCst))) => {
                json(200, &secret(1, r#"{"value":"v"}"#))
            }
            _ => json(403, r#"{"errors":["permission denied"]}"#),
        }
    })
    .await;
    let clock = HandClock::new();
    let keys = Arc::new(keys(&clock, settings(&server, app_role())));
    version(&clock, &*keys).await.unwrap();
    live.store(2, Ordering::SeqCst);
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (clock, keys) = (clock.clone(), keys.clone());
            tokio::spawn(async move { version(&clock, &*keys).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "kv-1");
    }
    assert_eq!(server.requests().iter().filter(|request| request.contains("/login")).count(), 2);
}

#[tokio::test]
async fn a_token_file_is_followed_and_its_loss_is_no_revocation() {
    let server = Server::start(|request| match request {
        new if new.contains("hvs.two") => json(200, &secret(2, r#"{"value":"v"}"#)),
        old if old.contains("hvs.one") => json(200, &secret(1, r#"{"value":"v"}"#)),
        _ => json(403, r#"{"errors":["permission denied"]}"#),
    })
    .await;
    let (clock, folder) = (HandClock::new(), Folder::new("token"));
    let path = folder.0.join("token");
    let keys = keys(&clock, settings(&server, VaultLogin::TokenFile(path.clone())));
    for (written, expected) in [
        ("hvs.one\n", Ok("kv-1")),
        ("hvs.two", Ok("kv-2")),
        ("hvs.old", Err(KeyErrorKind::Denied)),
        ("hvs.canary\nmore", Err(KeyErrorKind::Unavailable)),
        ("", Err(KeyErrorKind::Unavailable)),
    ] {
        std::fs::write(&path, written).unwrap();
        assert_eq!(version(&clock, &keys).await.as_deref(), expected.as_ref().copied(), "{written:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(version(&clock, &keys).await, Err(KeyErrorKind::Unavailable));
}

#[tokio::test]
async fn a_silent_server_ends_the_call_after_five_seconds_of_the_clock() {
    let server = Server::start(|_| String::new()).await;
    let clock = HandClock::new();
    let keys = Arc::new(keys(&clock, settings(&server, VaultLogin::Token("t".into()))));
    let call = tokio::spawn({
        let (clock, keys) = (clock.clone(), keys.clone());
        async move { keys.keys(clock.now() + 60 * S).await.unwrap_err() }
    });
    server.asked().await;
    clock.pass(5 * S);
    let error = call.await.unwrap();
    assert_eq!(error.kind(), KeyErrorKind::Timeout);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let other = Server::start(|_| json(200, &secret(1, r#"{"value":"v"}"#))).await;
    let to = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/v1/kv/data/x\r\n\r\n", other.address());
    let server = Server::start(move |_| to.clone()).await;
    let clock = HandClock::new();
    let keys = keys(&clock, settings(&server, VaultLogin::Token("t".into())));
    assert_eq!(version(&clock, &keys).await, Err(KeyErrorKind::Unavailable));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn no_connection_is_an_outage_that_the_cache_bridges() {
    let server = Server::start(|_| json(200, &secret(1, r#"{"value":"v"}"#))).await;
    let clock = HandClock::new();
    let vault = Arc::new(keys(&clock, settings(&server, VaultLogin::Token("t".into()))));
    let cache = CacheSettings::default().with_clock(Arc::new(clock.clone()));
    let cache = CachedKeys::new(vault.clone(), cache).unwrap();
    assert_eq!(version(&clock, &cache).await.unwrap(), "kv-1");
    server.stop().await;
    let error = vault.keys(clock.now() + S).await.unwrap_err();
    assert_eq!(error.kind(), KeyErrorKind::Unavailable);
    assert!(error.to_string().contains("no connection"), "{error}");
    clock.pass(400 * S);
    assert_eq!(version(&clock, &cache).await.unwrap(), "kv-1");
}

/// Answers to a read with the canary where a parser that gives up would quote it, and what each is.
fn odd_reads() -> Vec<(String, KeyErrorKind)> {
    use KeyErrorKind::{Denied, Invalid, Missing, Unavailable};
    let mut odd: Vec<_> = [
        (r#"{"data":{"data":{"value":"canary"},"metadata":{"version":"canary"}}}"#, Unavailable),
        (r#"{"data":{"data":{"value":"canary"}}}"#, Unavailable),
        (r#"{"data":"canary"}"#, Unavailable),
        (r#"{"auth":{"client_token":"canary"}}"#, Unavailable),
        (r#"{"data":{"data":{"value":"canary""#, Unavailable),
        ("canary", Unavailable),
        ("", Unavailable),
    ]
    .map(|(body, kind)| (json(200, body), kind))
    .into();
    let bodies =
        [r#"{"value":{"inner":"canary"}}"#, r#"{"value":7}"#, r#"{"value":""}"#, r#"{"other":"canary"}"#];
    odd.extend(bodies.map(|data| (json(200, &secret(1, data)), Invalid)));
    odd.push((json(200, &secret(1, "null")), Denied));
    odd.push((json(200, &secret(1, r#""canary""#)), Unavailable));
    odd.extend(
        [(403, Denied), (404, Missing), (400, Invalid), (429, Unavailable), (500, Unavailable)]
            .into_iter()
            .flat_map(|(code, kind)| {
                let bodies = [r#"{"errors":["canary"]}"#, r#"{"errors":"canary"}"#, "<html>canary</html>"];
                bodies.map(|body| (json(code, body), kind))
            }),
    );
    odd
}

#[tokio::test]
async fn no_odd_answer_to_a_read_is_printed_anywhere() {
    let logged = Logged::default();
    let _guard = logged.capture();
    for (answer, kind) in odd_reads() {
        let sent = answer.clone();
        let server = Server::start(move |_| sent.clone()).await;
        let clock = HandClock::new();
        let keys = keys(&clock, settings(&server, VaultLogin::Token("hvs.canary".into())));
        let error = keys.keys(clock.now() + S).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answer}");
        assert!(!format!("{error} {error:?} {error:#?} {keys:?}").contains("canary"), "{error:?}");
    }
    tracing::info!("this line is captured");
    let log = logged.text();
    assert!(log.contains("this line is captured") && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn no_odd_answer_to_a_login_is_printed_anywhere() {
    use KeyErrorKind::{Denied, Unavailable};
    let logged = Logged::default();
    let _guard = logged.capture();
    for (answer, kind) in [
        (
            json(200, r#"{"auth":{"client_token":"canary","lease_duration":"canary","renewable":true}}"#),
            Unavailable,
        ),
        (
            json(200, r#"{"auth":{"client_token":"canary\n","lease_duration":1,"renewable":true}}"#),
            Unavailable,
        ),
        (json(200, r#"{"auth":{"client_token":["canary"]}}"#), Unavailable),
        (json(200, r#"{"auth":null,"data":"canary"}"#), Unavailable),
        (
            json(200, &format!(r#"{{"x":"{}",{}"#, "canary".repeat(20_000), &login("t", 9, true)[1..])),
            Unavailable,
        ),
        (json(200, "canary"), Unavailable),
        (json(400, r#"{"errors":["invalid role or secret ID canary"]}"#), Denied),
        (json(403, "canary"), Denied),
        (json(500, r#"{"errors":["canary"]}"#), Unavailable),
        (json(503, "canary"), Unavailable),
    ] {
        let sent = answer.clone();
        let server = Server::start(move |_| sent.clone()).await;
        let clock = HandClock::new();
        let keys = keys(&clock, settings(&server, app_role()));
        let error = keys.keys(clock.now() + S).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{:.200}", answer);
        assert_eq!(server.requests().len(), 1, "a token was taken from {answer:.200}");
        assert!(!format!("{error} {error:?} {error:#?} {keys:?}").contains("canary"), "{error:?}");
    }
    assert!(!logged.text().contains("canary"), "{}", logged.text());
}

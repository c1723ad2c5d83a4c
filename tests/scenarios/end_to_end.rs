//! The one composition: keys from a real Vault through AppRole feed the signer, the stack paces and meters, the simulator judges.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use trunkline::keys::VaultKeys;
use trunkline::metrics::PrometheusExporter;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, ErrorKind, Journal, NewCall, Order, Rate, RetrySettings, SystemClock};
use trunkline_simulator::Simulator;
use trunkline_tests::{Admin, scrape};

const CALLS: usize = 60;

async fn account(admin: &Admin, mount: &str, sim: &Simulator) -> Account {
    let login = admin.app_role(mount).await;
    let field = |name: &str| VaultKeys::new(admin.settings(mount, login.clone()).with_field(name)).unwrap();
    Account::new("main", ClaudeVoice::new(&sim.base_url()).unwrap(), field("api_key"))
        .unwrap()
        .signing_keys(field("signing_secret"))
        .pace(Rate::per_second(NonZeroU32::new(40).unwrap()))
}

fn quick() -> RetrySettings {
    let mut settings = RetrySettings::default();
    settings.base = Duration::from_millis(20);
    settings
}

fn orders() -> impl Iterator<Item = Order> {
    (0..CALLS).map(|n| Order::new(NewCall::say(&format!("+1415555{n:04}"), "hello").unwrap()))
}

/// The number of a sample line of the page.
fn sample(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_placed_signed_paced_and_metered_with_keys_from_vault() {
    let admin = Admin::shared();
    let mount = admin.engine("end-to-end").await;
    let sim = Simulator::builder().require_signature().start().await.unwrap();
    let keys = json!({"api_key": sim.api_key(), "signing_secret": sim.signing_secret()});
    admin.write(&mount, keys).await;
    let account = account(&admin, &mount, &sim).await;
    let client = Client::builder(Journal::in_memory())
        .account(account)
        .retry(quick())
        .article_pair("main".parse().unwrap())
        .build()
        .unwrap();
    // Installed after the client on purpose.
    let exporter = PrometheusExporter::new(Arc::new(SystemClock::new()))
        .listen("127.0.0.1:0".parse().unwrap())
        .install()
        .unwrap();

    let results: Vec<_> = client.place_all(stream::iter(orders())).collect().await;
    let problems: Vec<_> = results.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    assert!(problems.is_empty(), "{problems:?}");

    let book = sim.book();
    assert_eq!((book.calls, book.people, book.duplicates, book.pace_violations), (60, 60, 0, 0), "{book:?}");
    assert_eq!((book.signatures_verified, book.signatures_refused), (60, 0), "{book:?}");
    let page = scrape(exporter.address()).await;
    assert_eq!(sample(&page, r#"claude_api_calls_total{status_code="201"}"#), 60.0);
    assert_eq!(sample(&page, "claude_api_latency_seconds_count"), 60.0);
    for bucket in ["0.1", "0.5", "1", "2", "5", "+Inf"] {
        sample(&page, &format!(r#"claude_api_latency_seconds_bucket{{le="{bucket}"}}"#));
    }
    assert!(sample(&page, r#"trunkline_calls_total{account="main",outcome="accepted"}"#) >= 60.0, "{page}");
    for secret in [sim.api_key(), sim.signing_secret(), "+1415555"] {
        assert!(!page.contains(secret));
    }
    assert_eq!(client.shutdown(Duration::from_secs(5)).await.open, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotated_in_vault_is_taken_up_after_one_401() {
    let admin = Admin::shared();
    let mount = admin.engine("rotation").await;
    let sim = Simulator::builder().require_signature().start().await.unwrap();
    admin.write(&mount, json!({"api_key": sim.api_key(), "signing_secret": sim.signing_secret()})).await;
    let account = account(&admin, &mount, &sim).await;
    let client = Client::builder(Journal::in_memory()).account(account).retry(quick()).build().unwrap();
    let call = || NewCall::say("+14155550123", "hello").unwrap();
    assert_eq!(client.place(call()).await.unwrap().tries, 1);

    admin.write(&mount, json!({"api_key": "rotated-key", "signing_secret": "rotated-secret"})).await;
    sim.also_accept("rotated-key", "rotated-secret");
    assert!(sim.revoke(sim.api_key()));
    assert_eq!(client.place(call()).await.unwrap().tries, 2, "one 401, then the fresh key");

    assert!(sim.revoke("rotated-key"));
    let refused = client.place(call()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.status().unwrap().as_u16()), (ErrorKind::Rejected, 401));
    assert_eq!(sim.times_rung("+14155550123"), 2);
}

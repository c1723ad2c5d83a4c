//! The exporter's page, scraped over TCP, before Prometheus' own linter.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use trunkline_core_types::{
    BreakerState, Class, DeniedKind, Fact, KeyErrorKind, Lane, Observer, Operation, SystemClock,
};
use trunkline_telemetry::{ARTICLE_PAIR, CATALOGUE, MetricsObserver, PrometheusExporter};
use trunkline_tests::{scrape, variable};

/// `promtool check metrics`: whether it passes, and what it says.
async fn lint(page: &str) -> (bool, String) {
    let mut promtool = Command::new(variable("TRUNKLINE_TEST_PROMTOOL"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).await.unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Each kind of fact, over every operation, class and lane.
fn facts() -> Vec<Fact> {
    let took = Duration::from_millis(120);
    let mut facts = vec![
        Fact::LatePermit { by: took },
        Fact::Throttled { pause: took },
        Fact::StaleConnection,
        Fact::KeyFetch { backend: "vault", error: None, took },
        Fact::KeyFetch { backend: "vault", error: Some(KeyErrorKind::Unavailable), took },
        Fact::KeyStale { backend: "vault", age: took },
        Fact::JournalFailed { step: "begin" },
        Fact::RetryBudget { tokens: 500 },
        Fact::Webhook { result: "accepted" },
        Fact::OpenCalls { count: 1, oldest: took },
        Fact::Queued { waited: took },
        Fact::PaceShare { percent: 75 },
    ];
    facts.extend(BreakerState::ALL.map(|state| Fact::Breaker { state }));
    for operation in Operation::ALL {
        for class in Class::ALL {
            facts.push(Fact::Attempt { operation, class, status: Some(201), took });
            facts.push(Fact::Attempt { operation, class, status: None, took });
            facts.push(Fact::Call { operation, class, tries: 1, took });
            facts.push(Fact::Retried { operation, class, after: took });
            facts.push(Fact::RetryRefused { operation, class });
        }
    }
    for lane in Lane::ALL {
        facts.push(Fact::Permitted { lane, waited: took });
        facts.push(Fact::Denied { lane, kind: DeniedKind::Deadline });
    }
    facts
}

#[tokio::test]
async fn promtool_accepts_every_metric_of_the_catalogue() {
    let observers = ["main", "backup"].map(|account| MetricsObserver::new(&account.parse().unwrap()));
    let [main, backup] = observers;
    let main = main.article_pair();
    let exporter = PrometheusExporter::new(Arc::new(SystemClock::new()));
    let handle = exporter.listen("127.0.0.1:0".parse().unwrap()).install().unwrap();
    for fact in facts() {
        main.saw(fact);
        backup.saw(fact);
    }

    let page = scrape(handle.address()).await;
    let typed: BTreeSet<_> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let named: BTreeSet<_> = CATALOGUE.iter().chain(ARTICLE_PAIR).map(|metric| metric.name).collect();
    assert_eq!(typed, named);
    assert!(!page.contains("summary"), "a histogram without buckets:\n{page}");

    let (passes, said) = lint(&page).await;
    assert!(passes && said.is_empty(), "promtool: {said}");

    // The linter does look: a counter without its suffix is refused.
    let (passes, said) = lint(&page.replace("trunkline_calls_total", "trunkline_calls")).await;
    assert!(!passes && said.contains("trunkline_calls"), "promtool: {said}");
    handle.shutdown().await;
}

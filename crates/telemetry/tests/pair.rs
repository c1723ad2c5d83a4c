//! The article's pair as it is scraped, to the letter. In a binary of its own: a process has one recorder.

use std::sync::Arc;
use std::time::Duration;

use trunkline_core_types::{Class, Fact, Observer, Operation, Scope, SystemClock};
use trunkline_telemetry::{MetricsObserver, PrometheusExporter};

const CALLS: &str = r#"# HELP claude_api_calls_total HTTP attempts by status code; none where no reply came.
# TYPE claude_api_calls_total counter
claude_api_calls_total{status_code="200"} 2
claude_api_calls_total{status_code="429"} 1
claude_api_calls_total{status_code="none"} 1
"#;

const LATENCY: &str = r#"# HELP claude_api_latency_seconds Duration of one HTTP attempt.
# TYPE claude_api_latency_seconds histogram
claude_api_latency_seconds_bucket{le="0.1"} 1
claude_api_latency_seconds_bucket{le="0.5"} 2
claude_api_latency_seconds_bucket{le="1"} 3
claude_api_latency_seconds_bucket{le="2"} 3
claude_api_latency_seconds_bucket{le="5"} 3
claude_api_latency_seconds_bucket{le="+Inf"} 4
claude_api_latency_seconds_sum 7.3125
claude_api_latency_seconds_count 4
"#;

#[tokio::test]
async fn names_labels_and_buckets_are_exact() {
    let exporter = PrometheusExporter::new(Arc::new(SystemClock::new()));
    let handle = exporter.listen("127.0.0.1:0".parse().unwrap()).install().unwrap();
    let named = MetricsObserver::new(&"claude".parse().unwrap()).article_pair();
    let other = MetricsObserver::new(&"backup".parse().unwrap());
    let attempt = |class, status, millis| Fact::Attempt {
        operation: Operation::Create,
        class,
        status,
        took: Duration::from_micros(millis),
    };
    for fact in [
        attempt(Class::Accepted, Some(200), 62_500),
        attempt(Class::Accepted, Some(200), 250_000),
        attempt(Class::Deferred, Some(429), 1_000_000),
        attempt(Class::Ambiguous, None, 6_000_000),
    ] {
        named.saw(fact);
    }
    other.saw(attempt(Class::Rejected(Scope::Account), Some(402), 1_000));

    let page = handle.render();
    let block = |name: &str| {
        let lines = page.lines().filter(|line| line.contains(name)).collect::<Vec<_>>();
        lines.join("\n") + "\n"
    };
    // The recorder keeps no order among the series of one counter.
    let mut calls: Vec<_> = block("claude_api_calls").lines().map(str::to_owned).collect();
    calls[2..].sort_unstable();
    assert_eq!(calls.join("\n") + "\n", CALLS);
    assert_eq!(block("claude_api_latency"), LATENCY);
    // The normal catalogue counts both accounts beside it.
    for account in ["claude", "backup"] {
        assert!(page.contains(&format!("_duration_seconds_count{{account=\"{account}\",")), "{page}");
    }
}

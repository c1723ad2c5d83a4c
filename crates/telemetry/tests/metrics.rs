//! Facts against the catalogue: names, labels, bounds. Recorders are local to their test.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use proptest::prelude::*;
use trunkline_core_types::{
    BreakerState, Class, DeniedKind, Fact, KeyErrorKind, Lane, Observer, Operation, Scope,
};
use trunkline_telemetry::{ARTICLE_PAIR, CATALOGUE, Metric, MetricKind, MetricsObserver, Values, describe};

const ACCOUNT: &str = "main";

/// Series as they would be scraped: `name{label="value",…}` and what was counted or noted.
fn series(snapshotter: &Snapshotter) -> BTreeMap<String, String> {
    let show = |value| match value {
        DebugValue::Counter(count) => count.to_string(),
        DebugValue::Gauge(value) => value.to_string(),
        DebugValue::Histogram(times) => format!("{times:?}"),
    };
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, _, _, value)| {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        (format!("{}{{{}}}", key.key().name(), labels.collect::<Vec<_>>().join(",")), show(value))
    })
    .collect()
}

fn counted(observer: &MetricsObserver, facts: &[Fact]) -> BTreeMap<String, String> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || facts.iter().for_each(|fact| observer.saw(*fact)));
    series(&recorder.snapshotter())
}

fn observer() -> MetricsObserver {
    MetricsObserver::new(&ACCOUNT.parse().unwrap())
}

fn one(fact: Fact) -> Vec<(String, String)> {
    counted(&observer(), &[fact]).into_iter().collect()
}

fn expect(fact: Fact, want: &[(&str, &str)]) {
    let want: Vec<_> = want.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(one(fact), want, "{fact:?}");
}

const HALF: Duration = Duration::from_millis(500);

#[test]
fn an_attempt_is_timed() {
    expect(
        Fact::Attempt {
            operation: Operation::Create,
            class: Class::Rejected(Scope::Account),
            status: Some(402),
            took: HALF,
        },
        &[(
            "trunkline_http_client_request_duration_seconds{account=main,operation=create,outcome=rejected}",
            "[0.5]",
        )],
    );
}

#[test]
fn a_create_is_counted_as_a_call_and_every_operation_is_timed() {
    let call = |operation| Fact::Call { operation, class: Class::Ambiguous, tries: 3, took: HALF };
    expect(
        call(Operation::Create),
        &[
            ("trunkline_calls_total{account=main,outcome=ambiguous}", "1"),
            (
                "trunkline_operation_duration_seconds{account=main,operation=create,outcome=ambiguous}",
                "[0.5]",
            ),
        ],
    );
    expect(
        call(Operation::Read),
        &[("trunkline_operation_duration_seconds{account=main,operation=read,outcome=ambiguous}", "[0.5]")],
    );
}

#[test]
fn every_other_fact_has_its_series() {
    expect(
        Fact::Retried { operation: Operation::Change, class: Class::Deferred, after: HALF },
        &[("trunkline_retries_total{account=main,operation=change,outcome=deferred}", "1")],
    );
    expect(
        Fact::RetryRefused { operation: Operation::Read, class: Class::Ambiguous },
        &[("trunkline_retries_refused_total{account=main,operation=read,outcome=ambiguous}", "1")],
    );
    expect(Fact::RetryBudget { tokens: 486 }, &[("trunkline_retry_budget_tokens{account=main}", "486")]);
    expect(
        Fact::Permitted { lane: Lane::Bulk, waited: HALF },
        &[("trunkline_ratelimit_wait_seconds{account=main,lane=bulk}", "[0.5]")],
    );
    expect(
        Fact::Denied { lane: Lane::Bulk, kind: DeniedKind::Full },
        &[("trunkline_ratelimit_denied_total{account=main,kind=full}", "1")],
    );
    expect(Fact::LatePermit { by: HALF }, &[("trunkline_late_permits_total{account=main}", "1")]);
    expect(Fact::Throttled { pause: HALF }, &[("trunkline_throttles_total{account=main}", "1")]);
    expect(Fact::StaleConnection, &[("trunkline_stale_connections_total{account=main}", "1")]);
    let fetch = |error| Fact::KeyFetch { backend: "vault", error, took: HALF };
    expect(fetch(None), &[("trunkline_key_fetches_total{account=main,backend=vault,result=ok}", "1")]);
    expect(
        fetch(Some(KeyErrorKind::Denied)),
        &[("trunkline_key_fetches_total{account=main,backend=vault,result=denied}", "1")],
    );
    expect(
        Fact::KeyStale { backend: "a store we do not know", age: HALF },
        &[("trunkline_key_stale_total{account=main,backend=other}", "1")],
    );
    expect(Fact::JournalFailed { step: "begin" }, &[("trunkline_journal_failures_total{step=begin}", "1")]);
    expect(
        Fact::Webhook { result: "stale" },
        &[("trunkline_webhooks_total{account=main,result=stale}", "1")],
    );
    expect(Fact::Queued { waited: HALF }, &[("trunkline_provider_queue_seconds{account=main}", "[0.5]")]);
    expect(Fact::PaceShare { percent: 75 }, &[("trunkline_ratelimit_pace_share{account=main}", "0.75")]);
    expect(
        Fact::OpenCalls { count: 3, oldest: HALF },
        &[
            ("trunkline_open_call_oldest_seconds{account=main}", "0.5"),
            ("trunkline_open_calls{account=main}", "3"),
        ],
    );
}

#[test]
fn the_breaker_is_in_one_state_at_a_time() {
    use BreakerState as State;
    let facts = [State::Closed, State::Open, State::HalfOpen].map(|state| Fact::Breaker { state });
    for (told, want) in [(1, ["1", "0", "0"]), (2, ["0", "0", "1"]), (3, ["0", "1", "0"])] {
        let series = counted(&observer(), &facts[..told]);
        let names = ["closed", "half_open", "open"]
            .map(|state| format!("trunkline_circuit_state{{account=main,state={state}}}"));
        let want: BTreeMap<_, _> = names.into_iter().zip(want.map(str::to_owned)).collect();
        assert_eq!(series, want);
    }
}

#[test]
fn the_pair_is_fed_by_one_observer_only() {
    let attempt =
        |status| Fact::Attempt { operation: Operation::Read, class: Class::Accepted, status, took: HALF };
    let facts = [attempt(Some(200)), attempt(Some(200)), attempt(None), attempt(Some(700))];
    let pair = |observer: &MetricsObserver| {
        let mut all = counted(observer, &facts);
        all.retain(|name, _| name.starts_with("claude_"));
        all
    };
    assert_eq!(pair(&observer()), BTreeMap::new());
    let want = [
        ("claude_api_calls_total{status_code=200}", "2"),
        ("claude_api_calls_total{status_code=none}", "1"),
        ("claude_api_calls_total{status_code=other}", "1"),
        ("claude_api_latency_seconds{}", "[0.5, 0.5, 0.5, 0.5]"),
    ];
    let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pair(&observer().article_pair()), BTreeMap::from(want));
}

#[test]
fn describe_names_the_whole_catalogue_and_sets_build_info() {
    let recorder = DebuggingRecorder::new();
    let observer = observer().article_pair();
    metrics::with_local_recorder(&recorder, || {
        describe();
        every_fact().into_iter().for_each(|fact| observer.saw(fact));
    });
    let described: BTreeMap<_, _> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, help, _)| (key.key().name().to_owned(), help.unwrap().into_owned()))
        .collect();
    let all = CATALOGUE.iter().chain(ARTICLE_PAIR);
    let want: BTreeMap<_, _> = all.map(|metric| (metric.name.to_owned(), metric.help.to_owned())).collect();
    // Also: every metric of the catalogue is fed by some fact.
    assert_eq!(described, want);
}

fn every_fact() -> Vec<Fact> {
    let (operation, class, lane) = (Operation::Create, Class::Accepted, Lane::Bulk);
    vec![
        Fact::Attempt { operation, class, status: Some(201), took: HALF },
        Fact::Call { operation, class, tries: 1, took: HALF },
        Fact::Retried { operation, class, after: HALF },
        Fact::RetryRefused { operation, class },
        Fact::RetryBudget { tokens: 1 },
        Fact::Breaker { state: BreakerState::Open },
        Fact::Permitted { lane, waited: HALF },
        Fact::Denied { lane, kind: DeniedKind::Never },
        Fact::LatePermit { by: HALF },
        Fact::Throttled { pause: HALF },
        Fact::StaleConnection,
        Fact::KeyFetch { backend: "file", error: None, took: HALF },
        Fact::KeyStale { backend: "file", age: HALF },
        Fact::JournalFailed { step: "claim" },
        Fact::Webhook { result: "accepted" },
        Fact::Queued { waited: HALF },
        Fact::PaceShare { percent: 1 },
        Fact::OpenCalls { count: 1, oldest: HALF },
    ]
}

#[test]
fn debug_of_an_observer_is_short() {
    let text = format!("{:?}", observer().article_pair());
    assert_eq!(text, r#"MetricsObserver { account: AccountId("main"), article_pair: true, .. }"#);
}

fn facts() -> impl Strategy<Value = Fact> {
    let operation = || proptest::sample::select(Operation::ALL.to_vec());
    let class = || proptest::sample::select(Class::ALL.to_vec());
    let lane = || proptest::sample::select(Lane::ALL.to_vec());
    let time = || (0u64..10_000_000).prop_map(Duration::from_micros);
    // What a careless layer might pass.
    let word = || {
        proptest::sample::select(vec!["vault", "env", "begin", "settle", "", "14155550123", "+4930123456"])
    };
    use {DeniedKind as D, KeyErrorKind as K};
    let kind = proptest::sample::select(vec![D::Deadline, D::Full, D::Never, D::Closed]);
    let error = proptest::option::of(proptest::sample::select(vec![K::Missing, K::Timeout, K::WrongOrigin]));
    prop_oneof![
        (operation(), class(), proptest::option::of(any::<u16>()), time())
            .prop_map(|(operation, class, status, took)| Fact::Attempt { operation, class, status, took }),
        (operation(), class(), any::<u32>(), time()).prop_map(|(operation, class, tries, took)| Fact::Call {
            operation,
            class,
            tries,
            took
        }),
        (operation(), class(), time()).prop_map(|(operation, class, after)| Fact::Retried {
            operation,
            class,
            after
        }),
        (operation(), class()).prop_map(|(operation, class)| Fact::RetryRefused { operation, class }),
        any::<u32>().prop_map(|tokens| Fact::RetryBudget { tokens }),
        proptest::sample::select(BreakerState::ALL.to_vec()).prop_map(|state| Fact::Breaker { state }),
        (lane(), time()).prop_map(|(lane, waited)| Fact::Permitted { lane, waited }),
        (lane(), kind).prop_map(|(lane, kind)| Fact::Denied { lane, kind }),
        time().prop_map(|by| Fact::LatePermit { by }),
        time().prop_map(|pause| Fact::Throttled { pause }),
        Just(Fact::StaleConnection),
        (word(), error, time()).prop_map(|(backend, error, took)| Fact::KeyFetch { backend, error, took }),
        (word(), time()).prop_map(|(backend, age)| Fact::KeyStale { backend, age }),
        word().prop_map(|step| Fact::JournalFailed { step }),
        word().prop_map(|result| Fact::Webhook { result }),
        time().prop_map(|waited| Fact::Queued { waited }),
        any::<u32>().prop_map(|percent| Fact::PaceShare { percent }),
    ]
}

/// The metric of that name, or a failed test.
fn metric(name: &str) -> &'static Metric {
    CATALOGUE.iter().chain(ARTICLE_PAIR).find(|metric| metric.name == name).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn series_stay_within_the_catalogue(facts in proptest::collection::vec(facts(), 1..200)) {
        let recorder = DebuggingRecorder::new();
        let observer = observer().article_pair();
        metrics::with_local_recorder(&recorder, || facts.iter().for_each(|fact| observer.saw(*fact)));
        let mut seen: BTreeMap<&str, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
            let metric = metric(key.key().name());
            let labels: Vec<_> = key.key().labels().collect();
            prop_assert_eq!(labels.len(), metric.labels.len());
            for (label, declared) in labels.iter().zip(metric.labels) {
                prop_assert_eq!(label.key(), declared.name);
                match declared.values {
                    Values::Account => prop_assert_eq!(label.value(), ACCOUNT),
                    Values::Closed(set) => prop_assert!(set.contains(&label.value()), "{:?}", label),
                    _ => prop_assert!(false, "{:?}", label),
                }
                let digits = label.value().bytes().filter(u8::is_ascii_digit).count();
                prop_assert!(digits <= 3, "looks like a number: {:?}", label);
            }
            let fits = matches!(
                (metric.kind, value),
                (MetricKind::Counter, DebugValue::Counter(_))
                    | (MetricKind::Gauge, DebugValue::Gauge(_))
                    | (MetricKind::Histogram(_), DebugValue::Histogram(_))
            );
            prop_assert!(fits, "{}", metric.name);
            let values = labels.iter().map(|label| label.value().to_owned()).collect();
            prop_assert!(seen.entry(metric.name).or_default().insert(values), "a series twice");
        }
        for (name, series) in seen {
            prop_assert!(series.len() <= metric(name).max_series(), "{}", name);
        }
    }
}

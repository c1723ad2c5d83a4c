//! The published cases of the AWS SDKs' standard mode: `tests/vectors/aws-standard-retry.json`, or the file of that name in
//! `TRUNKLINE_VECTORS`. Jitter is fixed at its maximum, so every delay is exact.
//!
//! `adaptive_cubic` is not among them: it steers a sending rate, and is tested where that is worked out, at `trunkline_ratelimit::Cubic`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::budget::{BudgetSettings, Payment, RetryBudget};
use super::cause::Cause;
use super::settings::RetrySettings;

fn vectors() -> Value {
    let folder = std::env::var_os("TRUNKLINE_VECTORS")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"));
    let path = folder.join("aws-standard-retry.json");
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    let list = of[name].as_array().unwrap_or_else(|| panic!("no list `{name}`"));
    assert!(!list.is_empty(), "`{name}` is empty");
    list
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().map(Duration::from_secs_f64)
}

/// Settings and costs of one of the two published rule sets.
fn rules(spec: &str, given: &Value) -> (RetrySettings, BudgetSettings) {
    let mut settings = RetrySettings::aws_standard_2_1();
    let mut costs = BudgetSettings::default();
    settings.max_tries = given["max_attempts"].as_u64().map_or(3, |n| n as u32);
    settings.cap = seconds(&given["max_backoff_s"]).unwrap_or(settings.cap);
    costs.tokens = given["initial_tokens"].as_u64().map_or(500, |n| n as u32);
    if spec == "2.0" {
        (settings.base, settings.wait_slack, settings.max_wait) =
            (Duration::from_secs(1), None, settings.cap);
        (costs.retry, costs.throttle, costs.timeout) = (5, 5, 10);
    }
    (settings, costs)
}

/// One caller of a case: what it has done of its present invocation.
#[derive(Default)]
struct Caller {
    tries: u32,
    paid: Option<u32>,
}

impl Caller {
    /// The decision after one answer, and the pause that was worked out with it.
    fn step(
        &mut self,
        settings: &RetrySettings,
        budget: &RetryBudget,
        response: &Value,
    ) -> (&'static str, Option<Duration>) {
        self.tries += 1;
        let cause = match (&response["status"], response["error_code"].as_str()) {
            (_, Some("Throttling")) => Cause::Throttle,
            (Value::String(transient), _) if transient == "transient(timeout)" => Cause::Timeout,
            (Value::Number(status), _) => match status.as_u64() {
                Some(200) => {
                    budget.reward(self.paid);
                    *self = Self::default();
                    return ("success", None);
                }
                Some(500..=599) => Cause::Other,
                _ => return ("fail", None),
            },
            _ => panic!("unknown response {response}"),
        };
        if self.tries >= settings.max_tries {
            return ("max_attempts_exceeded", None);
        }
        let asked = seconds(&response["explicit_delay_s"]).or_else(|| {
            let millis = response["x_amz_retry_after"].as_str()?.parse().ok()?;
            Some(Duration::from_millis(millis))
        });
        let pause = Some(settings.pause(cause, self.tries, asked, 1.0));
        let Some(payment) = budget.pay(cause) else { return ("quota_exceeded", pause) };
        self.paid = Some(Payment::spend(payment));
        ("retry", pause)
    }
}

fn run(spec: &str, section: &str) {
    let vectors = vectors();
    for case in list(&vectors, section) {
        let (settings, costs) = rules(spec, &case["given"]);
        let (budget, mut caller) = (RetryBudget::new(costs), Caller::default());
        for (number, step) in list(case, "steps").iter().enumerate() {
            let at = format!("aws-standard-retry.json, {section}, case {}, step {number}", case["name"]);
            let (outcome, pause) = caller.step(&settings, &budget, &step["response"]);
            let expect = &step["expect"];
            assert_eq!(expect["outcome"], outcome, "{at}");
            if let Some(quota) = expect["quota"].as_u64() {
                assert_eq!(u64::from(budget.left()), quota, "{at}: quota");
            }
            match seconds(&expect["delay_s"]) {
                Some(delay) => assert_eq!(pause, Some(delay), "{at}: delay"),
                None => assert!(pause.is_none() || outcome == "quota_exceeded", "{at}: a delay {pause:?}"),
            }
        }
    }
}

#[test]
fn standard_2_0() {
    run("2.0", "standard_2_0");
}

#[test]
fn standard_2_1() {
    run("2.1", "standard_2_1");
}

#[test]
fn callers_share_one_quota_whichever_way_they_interleave() {
    let vectors = vectors();
    for case in list(&vectors, "standard_2_1_concurrent") {
        let threads: Vec<&[Value]> =
            list(case, "threads").iter().map(|thread| thread.as_array().unwrap().as_slice()).collect();
        let (first, second) = (threads[0], threads[1]);
        let all = first.len() + second.len();
        // Every order of the two lists: a bit says whose turn it is.
        for order in (0u32..1 << all).filter(|order| order.count_ones() as usize == first.len()) {
            let at = format!("aws-standard-retry.json, concurrent, case {}, order {order:b}", case["name"]);
            let (settings, costs) = rules("2.1", &case["given"]);
            let (budget, mut callers) = (RetryBudget::new(costs), [Caller::default(), Caller::default()]);
            let mut steps = [first.iter(), second.iter()];
            for turn in (0..all).map(|bit| usize::from(order >> bit & 1 == 0)) {
                let step = steps[turn].next().unwrap();
                let (outcome, _) = callers[turn].step(&settings, &budget, &step["response"]);
                assert_eq!(step["expect"]["outcome"], outcome, "{at}");
            }
            assert_eq!(case["expected_final_quota"], budget.left(), "{at}");
        }
    }
}

#[test]
fn backoff_alone() {
    let vectors = vectors();
    for (number, case) in list(&vectors, "backoff_only").iter().enumerate() {
        let (mut settings, _) = rules(case["spec"].as_str().unwrap(), case);
        settings.base = seconds(&case["initial_s"]).unwrap_or(settings.base);
        settings.cap = seconds(&case["max_delay_s"]).unwrap_or(settings.cap);
        let delays = case.get("delays_s").unwrap_or_else(|| &case["delays_s_for_attempt_1_on"]);
        let first = case["retry_index"].as_u64().unwrap_or(1) as u32;
        for (repeat, delay) in (first..).zip(delays.as_array().unwrap()) {
            let pause = settings.pause(Cause::Other, repeat, None, 1.0);
            let at = format!("aws-standard-retry.json, backoff_only, case {number}, repeat {repeat}");
            assert_eq!(Some(pause), seconds(delay), "{at}");
        }
    }
}

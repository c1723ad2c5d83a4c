//! `trunkline call`: one call, and what came of it.

use std::time::Duration;

use futures_util::future::{Either, select};
use serde::Serialize;
use trunkline::{Client, Money, NewCall, Order, Placed};

use crate::args::CallArgs;
use crate::client;
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::out::Out;
use crate::render::pairs;
use crate::settings::Settings;

/// After Ctrl-C a call under way has this long to learn its outcome.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: CallArgs) -> Result<Exit, Problem> {
    let mut order = Order::new(new_call(&args)?);
    if let Some(key) = &args.key {
        order = order.key(key).map_err(|error| Problem::from(error.of("key")))?;
    }
    let settings = Settings::load(&args.settings, &|name| std::env::var_os(name))?;
    order.call.from = settings.from;
    order.timeout = settings.timeout;
    let provider = client::provider(&settings)?;
    let client = client::client(client::account(&settings, provider)?)?;
    let _metrics = client::serve_metrics(settings.metrics_listen)?;
    let placed = place(&client, order).await?;
    let shown = Shown::new(&placed);
    if args.json {
        Out::stdout().json(&shown)
    } else {
        Out::stdout().text(&shown.to_text())
    }
    Ok(Exit::Done)
}

fn new_call(args: &CallArgs) -> Result<NewCall, Problem> {
    let mut call = match (&args.say, &args.url) {
        (Some(text), _) => NewCall::say(&args.to, text)?,
        (None, url) => NewCall::play(&args.to, url.as_deref().unwrap_or_default())?,
    };
    if let Some(seconds) = args.ring_timeout {
        call = call.ring_timeout(Duration::from_secs(seconds.into()))?;
    }
    if let Some(seconds) = args.max_duration {
        call = call.max_duration(Duration::from_secs(seconds.into()))?;
    }
    for tag in &args.tag {
        let (name, value) = tag.split_once('=').ok_or_else(|| Problem::input("tag", "must be NAME=VALUE"))?;
        call = call.tag(name, value).map_err(|error| Problem::from(error.of("tag")))?;
    }
    Ok(call)
}

/// Waits for the outcome, also for a while after Ctrl-C: giving up at once would leave it unknown.
async fn place(client: &Client, order: Order) -> Result<Placed, Problem> {
    let placing = Box::pin(client.place(order));
    let placing = match select(placing, Box::pin(interrupted())).await {
        Either::Left((done, _)) => return Ok(done?),
        Either::Right(((), placing)) => placing,
    };
    match select(placing, Box::pin(client.shutdown(GRACE))).await {
        Either::Left((done, _)) => Ok(done?),
        Either::Right(_) => Err(Problem::given_up()),
    }
}

/// A placed call as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    class: &'static str,
    /// `account/call_id`; null if the provider's answer cannot be read.
    call: Option<String>,
    call_id: Option<String>,
    status: Option<String>,
    cost: Option<Cost>,
    tries: u32,
    key: String,
}

#[derive(Debug, Serialize)]
struct Cost {
    amount: String,
    currency: String,
}

impl Shown {
    fn new(placed: &Placed) -> Self {
        let call = placed.call.as_ref();
        let cost = |money: Money| Cost { amount: money.amount(), currency: money.currency().to_string() };
        Self {
            class: "placed",
            call: placed.reference.as_ref().map(ToString::to_string),
            call_id: call.map(|call| call.id.to_string()),
            status: call.map(|call| call.status.to_string()),
            cost: call.and_then(|call| call.cost).map(cost),
            tries: placed.tries,
            key: placed.key.as_str().to_owned(),
        }
    }

    fn to_text(&self) -> String {
        let or_unknown = |text: &Option<String>| {
            text.clone().unwrap_or_else(|| "unknown: the answer could not be read".to_owned())
        };
        let cost = self
            .cost
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |cost| format!("{} {}", cost.amount, cost.currency));
        pairs(&[
            ("placed", or_unknown(&self.call)),
            ("status", or_unknown(&self.status)),
            ("cost", cost),
            ("tries", self.tries.to_string()),
            ("key", self.key.clone()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn call(more: &[&str]) -> Result<NewCall, Problem> {
        let line = ["trunkline", "call", "--to", "+14155550123", "--say", "Hello"].iter().chain(more);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Call(args) => new_call(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_arguments_reach_the_call() {
        let call =
            call(&["--ring-timeout", "20", "--max-duration", "60", "--tag", "order=7=8", "--tag", "who="])
                .unwrap();
        assert_eq!(call.ring_timeout, Some(Duration::from_secs(20)));
        assert_eq!(call.max_duration, Some(Duration::from_secs(60)));
        assert_eq!(call.tags.iter().collect::<Vec<_>>(), [("order", "7=8"), ("who", "")]);
    }

    #[test]
    fn bad_arguments_are_named() {
        for (more, field) in [
            (["--ring-timeout", "4"], "ring_timeout"),
            (["--max-duration", "0"], "max_duration"),
            (["--tag", "canary"], "tag"),
            (["--tag", "=canary"], "tag"),
        ] {
            let problem = call(&more).unwrap_err();
            assert_eq!(problem.field(), Some(field));
            assert!(!problem.to_string().contains("canary"), "{problem}");
        }
    }

    #[test]
    fn text_and_url_exclude_each_other_and_one_is_needed() {
        let parse = |line: &[&str]| {
            Cli::try_parse_from(["trunkline", "call", "--to", "+14155550123"].iter().chain(line)).is_ok()
        };
        assert!(!parse(&[]) && !parse(&["--say", "a", "--url", "https://b.example"]));
        assert!(parse(&["--url", "https://b.example"]));
    }
}

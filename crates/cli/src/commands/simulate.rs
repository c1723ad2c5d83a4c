//! `trunkline simulate`: the simulator as a server.

use serde::Serialize;
use trunkline_simulator::{Book, Simulator};

use crate::args::SimulateArgs;
use crate::exit::{Exit, Problem};
use crate::interrupt::interrupted;
use crate::out::Out;
use crate::render::{pairs, table};

/// How to reach it; the keys are made up and open nothing else.
#[derive(Debug, Serialize)]
struct Started {
    base_url: String,
    api_key: String,
    signing_secret: String,
    book: String,
}

pub(super) async fn run(args: SimulateArgs) -> Result<Exit, Problem> {
    let simulator = start(&args).await?;
    let started = Started {
        base_url: simulator.base_url(),
        api_key: simulator.api_key().to_owned(),
        signing_secret: simulator.signing_secret().to_owned(),
        book: format!("{}/_book", simulator.base_url()),
    };
    let mut out = Out::stdout();
    if args.json {
        out.json(&started)
    } else {
        out.text(&started.to_text())
    }
    if !args.listen.ip().is_loopback() {
        Out::stderr().text("warning: listen: not loopback, and the simulator speaks plain HTTP: anyone on the network can read the keys");
    }
    interrupted().await;
    let book = simulator.book();
    simulator.stop().await;
    if args.json {
        out.json(&book)
    } else {
        out.text(&shown(&book))
    }
    Ok(Exit::Done)
}

async fn start(args: &SimulateArgs) -> Result<Simulator, Problem> {
    let mut builder = Simulator::builder().listen(args.listen).faults(args.faults).rate(args.rate);
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    if args.require_signature {
        builder = builder.require_signature();
    }
    Ok(builder.start().await?)
}

impl Started {
    fn to_text(&self) -> String {
        let lines = pairs(&[
            ("base URL", self.base_url.clone()),
            ("API key", self.api_key.clone()),
            ("signing secret", self.signing_secret.clone()),
            ("book", self.book.clone()),
        ]);
        format!(
            "{lines}\n\nexport TRUNKLINE_BASE_URL={}\nexport TRUNKLINE_API_KEY={}\nexport TRUNKLINE_SIGNING_SECRET={}\n",
            self.base_url, self.api_key, self.signing_secret
        )
    }
}

fn shown(book: &Book) -> String {
    let counts = [
        ("calls rung", book.calls),
        ("people rung", book.people),
        ("duplicates", book.duplicates),
        ("pace violations", book.pace_violations),
        ("requests", book.requests),
        ("creates", book.creates),
        ("signatures verified", book.signatures_verified),
        ("signatures refused", book.signatures_refused),
        ("unauthorized", book.unauthorized),
        ("replays", book.replays),
    ];
    let counts = counts.iter().map(|(name, count)| vec![(*name).to_owned(), count.to_string()]);
    let faults = book.faults.iter().map(|(name, count)| vec![format!("fault {name}"), count.to_string()]);
    table(&["book", ""], counts.chain(faults))
}

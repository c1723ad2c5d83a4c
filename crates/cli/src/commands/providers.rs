//! `trunkline providers`: what is fixed about each provider.

use serde::Serialize;
use trunkline::providers::all_profiles;
use trunkline::{Profile, Rate};

use crate::args::ProvidersArgs;
use crate::exit::Exit;
use crate::out::Out;
use crate::render::table;

#[derive(Debug, Serialize)]
struct Listed {
    providers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    auth: &'static str,
    /// Starts a second.
    ceiling_per_second: f64,
    default_pace_per_second: f64,
    billing: &'static str,
    currency: String,
}

pub(super) fn run(args: &ProvidersArgs) -> Exit {
    let profiles = all_profiles();
    if args.json {
        Out::stdout().json(&Listed { providers: profiles.iter().map(Row::from).collect() });
    } else {
        let rows = profiles.iter().map(|profile| {
            let (ceiling, pace) = (profile.ceiling.to_string(), profile.default_pace.to_string());
            let billing = format!("{}, {}", profile.billing.as_str(), profile.currency);
            vec![profile.name.to_owned(), profile.auth.as_str().to_owned(), ceiling, pace, billing]
        });
        Out::stdout().text(&table(&["provider", "auth", "ceiling", "default pace", "billing"], rows));
    }
    Exit::Done
}

impl From<&Profile> for Row {
    fn from(profile: &Profile) -> Self {
        Self {
            name: profile.name,
            auth: profile.auth.as_str(),
            ceiling_per_second: per_second(profile.ceiling),
            default_pace_per_second: per_second(profile.default_pace),
            billing: profile.billing.as_str(),
            currency: profile.currency.to_string(),
        }
    }
}

fn per_second(rate: Rate) -> f64 {
    f64::from(rate.count().get()) / rate.period().as_secs_f64()
}

//! Logs to standard error, at the level of `TRUNKLINE_LOG`.

use std::io;

use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::Problem;

const VARIABLE: &str = "TRUNKLINE_LOG";
/// They log whole requests and answers, which hold tokens and secrets.
const NEVER: [&str; 2] = ["vaultrs", "rustify"];

/// Installs the subscriber. Default level: `warn`.
pub(crate) fn start() -> Result<(), Problem> {
    let wanted = std::env::var(VARIABLE).ok().filter(|level| !level.trim().is_empty());
    let levels = EnvFilter::try_new(wanted.as_deref().unwrap_or("warn"))
        .map_err(|_| Problem::input(VARIABLE, "not a log level; write error, warn, info, debug or trace"))?;
    let silent = filter_fn(|metadata| may_log(metadata.target()));
    // Never colours: nothing here has any, and this layer panics if it is asked for some without its feature.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(levels.and(silent)))
        .try_init()
        .map_err(|_| Problem::input(VARIABLE, "a second log was started; this is a mistake of ours"))
}

fn may_log(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    !NEVER.contains(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vault_client_never_logs() {
        for target in ["vaultrs", "vaultrs::api", "rustify::clients::reqwest"] {
            assert!(!may_log(target), "{target}");
        }
        assert!(may_log("trunkline_transport::retry"));
        assert!(may_log("rustify_like"));
    }
}

//! From settings to a client with one account.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use trunkline::metrics::PrometheusExporter;
use trunkline::providers::provider_named;
use trunkline::{Account, Client, InputError, Journal, Provider, SystemClock, TransportSettings};

use crate::exit::Problem;
use crate::settings::Settings;

/// The largest file of certificates, in bytes.
const MAX_CA: u64 = 1024 * 1024;

/// The provider that the settings name, at its base URL.
pub(crate) fn provider(settings: &Settings) -> Result<Arc<dyn Provider>, Problem> {
    let base_url = settings.base_url.as_deref();
    provider_named(&settings.provider, base_url.unwrap_or_default()).map_err(|error: InputError| {
        match (error.field(), base_url) {
            ("base_url", None) => Problem::input(
                "base_url",
                "is not set; give --base-url, TRUNKLINE_BASE_URL or base_url in trunkline.toml",
            ),
            _ => error.into(),
        }
    })
}

/// The account of the settings, at the pace they ask for.
pub(crate) fn account(settings: &Settings, provider: Arc<dyn Provider>) -> Result<Account, Problem> {
    let mut account = Account::shared(&settings.account, provider, Arc::new(settings.keys.api_key()?))?;
    if let Some(signing) = settings.keys.signing()? {
        account = account.signing_keys(signing);
    }
    if let Some(pace) = settings.pace {
        account = account.pace(pace);
    }
    if let Some(delay) = settings.processing_delay {
        account = account.processing_delay(delay);
    }
    Ok(account.transport(transport(settings)?))
}

/// A client with this account. The journal lives as long as the process: one call, whose end the exit code tells.
pub(crate) fn client(account: Account) -> Result<Client, Problem> {
    Ok(Client::builder(Journal::in_memory()).account(account).build()?)
}

/// Serves metrics at this address until the handle is dropped.
pub(crate) fn serve_metrics(listen: Option<SocketAddr>) -> Result<Option<impl fmt::Debug>, Problem> {
    let serve = |listen| PrometheusExporter::new(Arc::new(SystemClock::new())).listen(listen).install();
    listen.map(serve).transpose().map_err(|error| Problem::unsent(format!("metrics_listen: {error}")))
}

fn transport(settings: &Settings) -> Result<TransportSettings, Problem> {
    let mut transport = TransportSettings::default();
    if let Some(timeout) = settings.timeout {
        transport.total_timeout = timeout;
    }
    if let Some(path) = &settings.ca_file {
        transport.extra_roots = certificates(path)?;
    }
    Ok(transport)
}

fn certificates(path: &Path) -> Result<Vec<u8>, Problem> {
    let bad = |what| Problem::input("ca_file", format!("{} {what}", path.display()));
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_CA + 1).read_to_end(&mut pem));
    match read {
        Ok(bytes) if bytes as u64 > MAX_CA => Err(bad("is larger than 1 MiB")),
        Ok(_) => Ok(pem),
        Err(_) => Err(bad("cannot be read; check path and permission")),
    }
}

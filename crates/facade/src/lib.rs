//! Places voice calls through HTTP telephony APIs: never rings a person twice by mistake, never dials faster than it may, never lets a
//! key leak.
//!
//! A Vault-backed key provider feeds a signing transport, which feeds a metered, rate-limited facade:
//!
//! ```no_run
//! # #[cfg(feature = "vault")]
//! # mod example {
//! use trunkline::keys::{VaultKeys, VaultLogin, VaultSettings};
//! use trunkline::providers::ClaudeVoice;
//! use trunkline::{Account, Client, ErrorKind, Journal, NewCall};
//!
//! # pub async fn example(login: VaultLogin) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = VaultSettings::new("https://vault.example.com:8200", "secret", "voice/claude", login).with_field("api_key");
//! let keys = VaultKeys::new(settings)?;
//! let account = Account::new("main", ClaudeVoice::new("https://voice.example.com")?, keys)?;
//! let client = Client::builder(Journal::in_memory()).account(account).build()?;
//!
//! match client.place(NewCall::say("+14155550123", "Your code is 8 4 2 1")?).await {
//!     Ok(placed) => println!("rings: {:?}", placed.reference),
//!     Err(error) if error.kind() == ErrorKind::Ambiguous => println!("may have rung, do not place again: {error}"),
//!     Err(error) if error.is_retryable() => println!("did not ring, try later: {error}"),
//!     Err(error) => println!("will not ring: {error}"),
//! }
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! One function builds the stack of an account, outermost first: call metrics, retry, limiter, breaker, signer, journal, attempt metrics,
//! HTTP client with its timeout. The facade is the only place where the layers meet; it re-implements none of them.
//!
//! Features (none by default): `vault` (keys from HashiCorp Vault), `exporter` (Prometheus), `batch` (files of calls),
//! `sqlite` (durable journal), `reqwest` and `tower` (an account over a client of yours), `full` (all).

mod account;
mod builder;
mod callback;
mod causes;
mod check;
mod client;
mod detail;
mod drain;
mod error;
mod failover;
mod flights;
mod inner;
mod job;
mod journal;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod order;
mod place;
mod place_all;
mod reconcile;
mod stack;
mod steady;
mod sync;
mod webhooks;

pub use account::Account;
pub use builder::ClientBuilder;
pub use causes::WithCauses;
pub use check::DialCheck;
pub use client::{Client, Drained};
pub use error::{Error, ErrorKind};
pub use journal::Journal;
pub use order::{Order, Placed};
pub use place_all::PlaceAll;
pub use reconcile::{Finding, Reconciler, Report};
pub use webhooks::{Accepted, Webhooks};

pub use trunkline_core_types::{
    AccountId, AttemptJournal, AuthKind, BillingUnit, BoxFuture, Call, CallEvent, CallId, CallRef, CallState,
    CallStatus, Class, Clock, Currency, E164, Entropy, EventId, Fact, Idempotency, IdempotencyKey,
    InputError, KeyError, KeyErrorKind, KeyProvider, KeySet, Lane, Money, NewCall, Observer, Profile,
    Provider, ProviderError, ProviderErrorKind, Rate, Scope, SeededEntropy, Sign, Speech, SpokenText,
    SystemClock, SystemEntropy, Tags, Timestamp, WebUrl, WebhookError, WebhookErrorKind,
};
#[cfg(feature = "sqlite")]
pub use trunkline_core_types::{JournalError, JournalErrorKind};
#[cfg(feature = "sqlite")]
pub use trunkline_journal::{
    JournalOpenError, JournalOpenErrorKind, JournalStatus, JournalView, SqliteJournal, SqliteSettings,
};
pub use trunkline_transport::{
    BreakerSettings, BudgetSettings, ClientCertificate, Dial, ProxyDial, ProxySettings, RetrySettings, Reuse,
    TcpDial, TransportSettings, Wire,
};

// For a leaf of one's own, see `Account::service`.
pub use trunkline_core_types::{Attempt, HttpService, Judge, Origin, Outcome};
#[cfg(feature = "reqwest")]
pub use trunkline_transport::ReqwestService;
#[cfg(feature = "tower")]
pub use trunkline_transport::{GateBody, GateShut, ServiceFor, TowerService};

#[cfg(feature = "batch")]
pub mod batch;

/// Where keys come from.
pub mod keys {
    pub use trunkline_auth_secrets::{EnvKeys, FileKeys, StaticKeys};
    #[cfg(feature = "vault")]
    pub use trunkline_auth_secrets::{VaultKeys, VaultLogin, VaultSettings};
}

/// The voice APIs.
pub mod providers {
    pub use trunkline_providers::{ClaudeVoice, all_profiles, provider_named};
}

/// Metrics: the observer that feeds them, and the exporter.
pub mod metrics {
    pub use trunkline_telemetry::MetricsObserver;
    #[cfg(feature = "exporter")]
    pub use trunkline_telemetry::PrometheusExporter;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

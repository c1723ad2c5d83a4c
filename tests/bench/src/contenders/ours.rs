//! Our two: the HTTP client alone, and the whole of `place`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Account, Class, Client, Clock, Dial, Idempotency, Journal, NewCall, Rate, SystemClock, TransportSettings,
};
use trunkline_core_types::{Attempt, Deadline, HttpService, StatusOnly};
use trunkline_transport::HttpClient;

use super::Contender;
use crate::sample::{self, Bare};

pub(crate) struct OurBare {
    client: HttpClient,
    clock: Arc<dyn Clock>,
    bare: Bare,
}

impl OurBare {
    pub(crate) fn with(base: &str, dial: Option<Arc<dyn Dial>>) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (origin, judge) = (base.parse()?, Arc::new(StatusOnly::default()));
        let settings = TransportSettings::default();
        let client = match dial {
            None => HttpClient::new(origin, settings, judge, clock.clone())?,
            Some(dial) => HttpClient::with_dial(origin, settings, judge, clock.clone(), dial)?,
        };
        Ok(Self { client, clock, bare: Bare::new(format!("{base}/v1/calls").parse()?) })
    }
}

impl Contender for OurBare {
    fn new(server: SocketAddr) -> Result<Self> {
        Self::with(&format!("http://{server}"), None)
    }

    async fn call(&self) -> Result<()> {
        let deadline = Deadline::At(self.clock.now() + Duration::from_secs(30));
        let attempt = Attempt::change(self.bare.request(), Idempotency::No, deadline);
        let outcome = self.client.send(attempt).await;
        ensure!(outcome.class == Class::Accepted, "not a success");
        ensure!(outcome.result?.body().len() == sample::REPLY.len(), "cut off");
        Ok(())
    }
}

/// Key and signing secret in the cache, body signed, paced, journaled in memory, measured, retried where that is safe, read.
pub(crate) struct Full(Client);

/// What signs its requests.
pub(crate) const KEY: &str = "bench-key-0001";
pub(crate) const SECRET: &str = "bench-secret-0001";

/// An account of the Claude-style API whose pace never makes anybody wait.
pub(crate) fn account(base: &str) -> Result<Account> {
    let keys = StaticKeys::new(KEY.into())?;
    let voice = ClaudeVoice::new(base)?.promising(|profile| profile.ceiling = ANY_PACE);
    let account = Account::new("main", voice, keys)?;
    Ok(account.signing_keys(StaticKeys::new(SECRET.into())?).pace(ANY_PACE))
}

/// The client of that account.
pub(crate) fn client(account: Account) -> Result<Client> {
    Ok(Client::builder(Journal::in_memory()).account(account).build()?)
}

impl Full {
    pub(crate) fn of(client: Client) -> Self {
        Self(client)
    }
}

impl Contender for Full {
    fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self(client(account(&format!("http://{server}"))?)?))
    }

    async fn call(&self) -> Result<()> {
        let placed = self.0.place(NewCall::say(sample::TO, sample::SAY)?).await?;
        placed.call.context("the reply could not be read")?;
        Ok(())
    }
}

/// A nanosecond between two starts.
const ANY_PACE: Rate = Rate::per_second(NonZeroU32::MAX);

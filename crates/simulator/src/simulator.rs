//! A running server and the questions a test asks it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::account::KeyPair;
use crate::api::Api;
use crate::book::{Book, BookedCall};
use crate::builder::SimulatorBuilder;
use crate::callbacks::{self, CallbackFault};
use crate::faults::Fault;
use crate::{StartError, server};

/// A voice API on loopback that keeps a book of who was rung.
///
/// It owns its tasks: [`Simulator::stop`] lets replies under way finish, dropping it ends everything at once. `Debug`
/// shows no key.
#[must_use = "dropping the simulator stops it"]
pub struct Simulator {
    api: Arc<Api>,
    addr: SocketAddr,
    first: KeyPair,
    stop: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    calling_back: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts with the defaults: a free port of `127.0.0.1`, made-up keys, no faults, 50 creates a second.
    ///
    /// # Errors
    /// [`crate::StartErrorKind::Listen`] if the machine has no port left.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// The settings, at their defaults.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::new()
    }

    pub(crate) fn serve(listener: TcpListener, addr: SocketAddr, first: KeyPair, api: Api) -> Self {
        let api = Arc::new(api);
        let (stop, stopped) = watch::channel(false);
        let calling_back = Some(tokio::spawn(callbacks::run(Arc::clone(&api), stopped.clone())));
        let accepting = Some(tokio::spawn(server::run(listener, Arc::clone(&api), stopped)));
        Self { api, addr, first, stop, accepting, calling_back }
    }

    /// What a client is configured with: `http://127.0.0.1:PORT`, without `/v1` and without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The API key it started with.
    pub fn api_key(&self) -> &str {
        &self.first.api_key
    }

    /// The signing secret it started with.
    pub fn signing_secret(&self) -> &str {
        &self.first.secret
    }

    /// A snapshot of the book.
    pub fn book(&self) -> Book {
        self.api.book()
    }

    /// Every call in order of creation, with its status now.
    pub fn calls(&self) -> Vec<BookedCall> {
        self.api.booked()
    }

    /// How often this number was rung; 0 for anything that is not a number.
    pub fn times_rung(&self, number: &str) -> u32 {
        u32::try_from(self.api.state().calls.times_rung(number)).unwrap_or(u32::MAX)
    }

    /// Lets a coming create meet exactly this fault, after those queued before, instead of a drawn one. The create must
    /// have a valid key and arrive within the pace.
    ///
    /// False, and nothing is queued, if 1024 wait already.
    pub fn fault_next(&self, fault: Fault) -> bool {
        self.api.state().faults.push(fault)
    }

    /// Lets the next event that is made meet exactly this fault, after those queued before, instead of a drawn one.
    ///
    /// False, and nothing is queued, if 1024 wait already.
    pub fn callback_fault_next(&self, fault: CallbackFault) -> bool {
        self.api.state().outbox.fault_next(fault)
    }

    /// Accepts a further API key and signing secret from now on: the first half of a rotation.
    pub fn also_accept(&self, api_key: impl Into<String>, signing_secret: impl Into<String>) {
        let pair = KeyPair { api_key: api_key.into(), secret: signing_secret.into() };
        self.api.account.write().unwrap_or_else(PoisonError::into_inner).pairs.push(pair);
    }

    /// Refuses this API key and its signing secret from now on: the second half of a rotation. False if it was not
    /// accepted.
    pub fn revoke(&self, api_key: &str) -> bool {
        let mut account = self.api.account.write().unwrap_or_else(PoisonError::into_inner);
        let before = account.pairs.len();
        account.pairs.retain(|pair| pair.api_key != api_key);
        account.pairs.len() < before
    }

    /// Stops accepting, sends no more events, lets requests under way get their reply for up to 5 s, closes every connection.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in [self.calling_back.take(), self.accepting.take()].into_iter().flatten() {
            // Err only if the runtime is going down, which stops it too.
            let _ = task.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in [self.calling_back.take(), self.accepting.take()].into_iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("addr", &self.addr).finish_non_exhaustive()
    }
}

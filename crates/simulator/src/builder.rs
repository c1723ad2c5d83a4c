//! The settings of a simulator, and its start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use trunkline_core_types::{Clock, Entropy, SeededEntropy, SystemClock, SystemEntropy};

use crate::account::{Account, KeyPair};
use crate::api::{Api, Manners, State};
use crate::book::Tally;
use crate::callbacks::{CallbackFaults, Outbox};
use crate::calls::{CallLife, Calls};
use crate::faults::{FaultSource, Faults};
use crate::keys::Keys;
use crate::pace::Window;
use crate::{Simulator, StartError, StartErrorKind};

const DEFAULT_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// Settings of a [`Simulator`]. Every setter states its default; `Debug` shows no key.
#[derive(Clone)]
#[must_use]
pub struct SimulatorBuilder {
    listen: SocketAddr,
    api_key: Option<String>,
    signing_secret: Option<String>,
    more: Vec<KeyPair>,
    signature_required: bool,
    networks: Vec<IpAddr>,
    rate: NonZeroU32,
    rate_tolerance: Duration,
    faults: Faults,
    seed: Option<u64>,
    latency: Duration,
    listing_lag: Duration,
    honours_keys: bool,
    shows_keys: bool,
    life: CallLife,
    callback_faults: CallbackFaults,
    callback_pause: Duration,
    clock: Arc<dyn Clock>,
    entropy: Option<Arc<dyn Entropy>>,
}

impl SimulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: None,
            signing_secret: None,
            more: Vec::new(),
            signature_required: false,
            networks: Vec::new(),
            rate: DEFAULT_RATE,
            rate_tolerance: Duration::from_millis(150),
            faults: Faults::none(),
            seed: None,
            latency: Duration::ZERO,
            listing_lag: Duration::ZERO,
            honours_keys: true,
            shows_keys: true,
            life: CallLife::default(),
            callback_faults: CallbackFaults::none(),
            callback_pause: Duration::from_secs(1),
            clock: Arc::new(SystemClock::new()),
            entropy: None,
        }
    }

    /// Where to listen; port 0 takes a free one. Default: `127.0.0.1:0`. It speaks plain HTTP: stay on loopback.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// The API key, visible ASCII characters. Default: made up at the start.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The signing secret, not empty. Default: made up at the start.
    pub fn signing_secret(mut self, secret: impl Into<String>) -> Self {
        self.signing_secret = Some(secret.into());
        self
    }

    /// A further API key and secret, as during a rotation; may be repeated. Default: none.
    pub fn also_accept(mut self, api_key: impl Into<String>, signing_secret: impl Into<String>) -> Self {
        self.more.push(KeyPair { api_key: api_key.into(), secret: signing_secret.into() });
        self
    }

    /// Answers 401 to every request without `X-Signature`. Default: one that is missing is fine, a wrong one is 401.
    pub fn require_signature(mut self) -> Self {
        self.signature_required = true;
        self
    }

    /// Answers 403 to every address but this one; may be repeated. Default: every address is fine.
    pub fn allow_from(mut self, address: IpAddr) -> Self {
        self.networks.push(address);
        self
    }

    /// Creates granted a second. Default: 50.
    pub fn rate(mut self, per_second: NonZeroU32) -> Self {
        self.rate = per_second;
        self
    }

    /// How much the granted rate may be squeezed on its way here. Default: 150 ms.
    ///
    /// A create is over the rate if it would be number `floor((1 s + tolerance) * rate) + 2` or higher of those admitted
    /// in the closed second up to its arrival: with the defaults 58 are admitted and the 59th is refused.
    pub fn rate_tolerance(mut self, tolerance: Duration) -> Self {
        self.rate_tolerance = tolerance;
        self
    }

    /// How often creates go wrong. Default: [`Faults::none`].
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Makes the faults repeat from run to run, in order of the creates' arrival, and also the made-up keys and ids
    /// unless [`SimulatorBuilder::entropy`] is set. Default: different each time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// From a request to its reply. A call is placed at the beginning of that time. Default: zero.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How long a new call is missing from listings; a look-up by key sees it at once. Default: zero; the contract
    /// allows 2 s.
    pub fn listing_lag(mut self, lag: Duration) -> Self {
        self.listing_lag = lag;
        self
    }

    /// Replays the first success of an idempotency key. The default.
    pub fn honour_idempotency(mut self) -> Self {
        self.honours_keys = true;
        self
    }

    /// Rings for every create, whatever its idempotency key says, like a service that does not know the header. The
    /// key is still kept with the call, and a look-up answers every call placed under it.
    pub fn ignore_idempotency(mut self) -> Self {
        self.honours_keys = false;
        self
    }

    /// Leaves `idempotency_key` out of calls that are read or listed, like a service that does not know the field. Events keep it. Default:
    /// it is given back.
    pub fn hide_keys(mut self) -> Self {
        self.shows_keys = false;
        self
    }

    /// How long the steps of a call take. Default: [`CallLife::default`].
    pub fn life(mut self, life: CallLife) -> Self {
        self.life = life;
        self
    }

    /// How often events to callback URLs go wrong. Default: [`CallbackFaults::none`].
    pub fn callback_faults(mut self, faults: CallbackFaults) -> Self {
        self.callback_faults = faults;
        self
    }

    /// The pause before an event that got no 2xx is sent again, doubled each time up to 10 minutes, for 24 hours in all.
    /// Default: 1 s.
    pub fn callback_pause(mut self, pause: Duration) -> Self {
        self.callback_pause = pause;
        self
    }

    /// Where the time comes from. Default: the machine's clock.
    ///
    /// Not for paused tokio time: that jumps to the next timer whenever all tasks wait for the network, and would end
    /// idle connections at once.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where made-up keys and ids come from. Default: the machine's random numbers, or the seed if there is one.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Listens and serves on the current tokio runtime until the simulator is stopped or dropped.
    ///
    /// # Errors
    /// [`StartErrorKind::Settings`] for a key or a set of faults out of its range, [`StartErrorKind::Listen`] if the
    /// address is not free.
    pub async fn start(self) -> Result<Simulator, StartError> {
        let entropy = self.entropy.clone().unwrap_or_else(|| match self.seed {
            Some(seed) => Arc::new(SeededEntropy::new(seed)),
            None => Arc::new(SystemEntropy::new()),
        });
        let make_up = |prefix: &str| format!("{prefix}_{:016x}{:016x}", entropy.next(), entropy.next());
        let first = KeyPair {
            api_key: self.api_key.clone().unwrap_or_else(|| make_up("sim_key")),
            secret: self.signing_secret.clone().unwrap_or_else(|| make_up("sim_secret")),
        };
        self.faults.check()?;
        self.callback_faults.check()?;
        [&first].into_iter().chain(&self.more).try_for_each(check)?;
        let listener = TcpListener::bind(self.listen).await.map_err(StartError::listen)?;
        let addr = listener.local_addr().map_err(StartError::listen)?;
        let seed = self.seed.unwrap_or_else(|| entropy.next());
        Ok(Simulator::serve(listener, addr, first.clone(), self.into_api(first, entropy, seed)))
    }

    fn into_api(self, first: KeyPair, entropy: Arc<dyn Entropy>, seed: u64) -> Api {
        let mut pairs = vec![first];
        pairs.extend(self.more);
        let manners = Manners {
            latency: self.latency,
            listing_lag: self.listing_lag,
            honours_keys: self.honours_keys,
            shows_keys: self.shows_keys,
            life: self.life,
            callback_pause: self.callback_pause.max(Duration::from_millis(1)),
        };
        let state = State {
            calls: Calls::default(),
            keys: Keys::default(),
            window: Window::new(self.rate, self.rate_tolerance),
            // Apart from the stream of ids, or the number of requests would move the faults.
            faults: FaultSource::new(self.faults, !seed),
            outbox: Outbox::new(self.callback_faults, seed.rotate_left(32)),
            tally: Tally::default(),
        };
        let account = Account { pairs, signature_required: self.signature_required, networks: self.networks };
        Api {
            account: RwLock::new(account),
            manners,
            clock: self.clock,
            entropy,
            state: Mutex::new(state),
            bell: Notify::new(),
        }
    }
}

fn check(pair: &KeyPair) -> Result<(), StartError> {
    let wrong = |field, problem| Err(StartError::new(StartErrorKind::Settings, field, problem));
    if pair.api_key.is_empty() || !pair.api_key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("api_key", "empty, or has other than visible ASCII characters; use letters and digits");
    }
    if pair.secret.is_empty() {
        return wrong("signing_secret", "empty; use at least one character");
    }
    Ok(())
}

impl fmt::Debug for SimulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorBuilder")
            .field("listen", &self.listen)
            .field("rate", &self.rate)
            .field("faults", &self.faults)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

//! The client: places, reads, hangs up, and drains.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, Uri};
use trunkline_core_types::{
    AccountId, Attempt, Call, CallRef, Class, ClockExt, Deadline, Evidence, HttpService, Idempotency, Leases,
    Operation, Outcome, Provider, ProviderError,
};
use trunkline_ratelimit::LocalPacer;

use crate::builder::Bulk;
use crate::drain::Drain;
use crate::flights::Flights;
use crate::place::{Job, place};
use crate::stack::Shared;
use crate::{ClientBuilder, DialCheck, Error, Journal, Order, PlaceAll, Placed};

/// Places calls through one or more accounts. Cheap to clone; all clones share pace, journal and connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Shared,
    pub(crate) routes: Vec<Route>,
    pub(crate) check: Option<Arc<dyn DialCheck>>,
    pub(crate) bulk: Bulk,
    pub(crate) drain: Drain,
    pub(crate) flights: Flights,
}

/// One account with its stack.
pub(crate) struct Route {
    pub(crate) account: AccountId,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) stack: Arc<dyn HttpService>,
    pub(crate) pacer: Arc<LocalPacer>,
    pub(crate) leases: Option<(Arc<dyn Leases>, Duration)>,
    pub(crate) total: Duration,
}

/// What a shutdown left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Operations that had not ended when the time was over. Their futures are the callers'; dropping one gives it up.
    pub under_way: usize,
    /// Calls of this journal whose outcome is open, at most 10,000.
    pub open: usize,
}

impl Client {
    /// A builder. The journal is a choice that is written: in memory, or a store that outlives the process.
    pub fn builder(journal: Journal) -> ClientBuilder {
        ClientBuilder::new(journal)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Places one call through the first account and waits for the provider's answer.
    ///
    /// Under a key of the caller's, placing again rings nobody: the old answer comes back, and two callers at once share one result.
    /// Dropping the future gives the call up; if bytes had left, the journal keeps it open.
    ///
    /// # Errors
    /// [`Error`], whose kind says what became of the call: bad input, not allowed, rejected, unsent or ambiguous.
    pub async fn place(&self, order: impl Into<Order>) -> Result<Placed, Error> {
        let order = order.into();
        let timeout = order.timeout.unwrap_or(self.0.first_route().total);
        let deadline = Deadline::At(self.0.shared.clock.now() + timeout);
        place(self.0.clone(), Job::new(&self.0, order, deadline, Evidence::new())).await
    }

    /// Places the calls of a stream in the bulk lane: takes no more from it than the pacer serves, and yields each result with its key as
    /// it comes. Memory and concurrency are bounded; dropping the stream gives up what is under way.
    pub fn place_all<S>(&self, orders: S) -> PlaceAll
    where
        S: futures_core::Stream<Item = Order> + Send + 'static,
    {
        PlaceAll::new(self.0.clone(), Box::pin(orders))
    }

    /// The call as its provider describes it now.
    ///
    /// # Errors
    /// `Input` for an unknown account, `Rejected` if the provider knows no such call, `Unsent` if it could not be asked.
    pub async fn get(&self, call: &CallRef) -> Result<Call, Error> {
        let route = self.0.route(&call.account)?;
        let request = route.provider.get(&call.id).map_err(Error::provider)?;
        let attempt = Attempt::read(request, self.0.single(route));
        self.0.call(route, attempt).await
    }

    /// Hangs the call up. Repeating it, or hanging up a call that is over, changes nothing.
    ///
    /// # Errors
    /// As [`Client::get`]; `Ambiguous` if the answer was lost: hang up again.
    pub async fn hang_up(&self, call: &CallRef) -> Result<Call, Error> {
        let route = self.0.route(&call.account)?;
        let request = route.provider.hang_up(&call.id).map_err(Error::provider)?;
        let attempt = Attempt::change(request, Idempotency::Natural, self.0.single(route));
        self.0.call(route, attempt).await
    }

    /// A read that this crate does not model, through the same stack. The URL is absolute, or a path at the account's origin.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn raw_read(
        &self,
        account: &AccountId,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Error> {
        let route = self.0.route(account)?;
        let attempt = Attempt::read(self.0.absolute(route, request)?, self.0.single(route));
        self.0.raw(route, attempt).await
    }

    /// A change that this crate does not model, through the same stack; `idempotency` says whether it may be repeated. It must not place
    /// a call: only [`Client::place`] knows who was rung.
    ///
    /// # Errors
    /// As [`Client::hang_up`].
    pub async fn raw_change(
        &self,
        account: &AccountId,
        request: Request<Bytes>,
        idempotency: Idempotency,
    ) -> Result<Response<Bytes>, Error> {
        let route = self.0.route(account)?;
        let attempt = Attempt::change(self.0.absolute(route, request)?, idempotency, self.0.single(route));
        self.0.raw(route, attempt).await
    }

    /// Drains: nothing new is taken, whoever waits for a permit ends unsent, what is under way may finish for `grace`.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.0.drain.close();
        self.0.routes.iter().for_each(|route| route.pacer.close());
        let clock = &self.0.shared.clock;
        clock.bounded(clock.now() + grace, self.0.drain.idle()).await;
        Drained { under_way: self.0.drain.running(), open: self.0.open_calls().await }
    }
}

impl Inner {
    /// The builder refuses a client without accounts.
    pub(crate) fn first_route(&self) -> &Route {
        &self.routes[0]
    }

    fn route(&self, account: &AccountId) -> Result<&Route, Error> {
        let unknown = || {
            let known: Vec<_> = self.routes.iter().map(|route| route.account.as_str()).collect();
            Error::settings(
                "account",
                &format!("no account is named {account}; there is: {}", known.join(", ")),
            )
        };
        self.routes.iter().find(|route| route.account == *account).ok_or_else(unknown)
    }

    fn single(&self, route: &Route) -> Deadline {
        Deadline::At(self.shared.clock.now() + route.total)
    }

    async fn send(&self, route: &Route, attempt: Attempt) -> Result<Outcome, Error> {
        let _pass = self.drain.enter().ok_or_else(closed)?;
        let operation = attempt.operation();
        let outcome = route.stack.send(attempt).await;
        if outcome.class == Class::Accepted {
            return Ok(outcome);
        }
        let error = Error::outcome(&outcome, refusal(&*route.provider, &outcome));
        Err(if operation == Operation::Read { error.of_a_read() } else { error })
    }

    async fn call(&self, route: &Route, attempt: Attempt) -> Result<Call, Error> {
        let outcome = self.send(route, attempt).await?;
        match &outcome.result {
            Ok(reply) => route.provider.read_call(reply).map_err(Error::provider),
            Err(_) => Err(Error::outcome(&outcome, None)),
        }
    }

    async fn raw(&self, route: &Route, attempt: Attempt) -> Result<Response<Bytes>, Error> {
        let outcome = self.send(route, attempt).await?;
        match outcome.result {
            Ok(reply) => Ok(reply.into_response()),
            Err(_) => Err(Error::outcome(&outcome, None)),
        }
    }

    fn absolute(&self, route: &Route, mut request: Request<Bytes>) -> Result<Request<Bytes>, Error> {
        if request.uri().scheme().is_none() {
            let whole = format!("{}{}", route.provider.origin(), request.uri());
            let problem = |_| Error::settings("url", "must be absolute, or a path that begins with /");
            *request.uri_mut() = whole.parse::<Uri>().map_err(problem)?;
        }
        Ok(request)
    }

    async fn open_calls(&self) -> usize {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let clock = &self.shared.clock;
        let until: Instant = clock.now() + Duration::from_secs(5);
        let listed = clock.bounded(until, self.shared.journal.open_calls(far, None, 10_000)).await;
        listed.and_then(Result::ok).map_or(0, |open| open.len())
    }
}

pub(crate) fn closed() -> Error {
    Error::unsent("the client is shut down; nothing was sent")
}

/// What a reply that refuses says, if there is one.
pub(crate) fn refusal(provider: &dyn Provider, outcome: &Outcome) -> Option<ProviderError> {
    outcome.result.as_ref().ok().map(|reply| provider.read_error(reply))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts: Vec<_> = self.0.routes.iter().map(|route| &route.account).collect();
        f.debug_struct("Client").field("accounts", &accounts).finish_non_exhaustive()
    }
}

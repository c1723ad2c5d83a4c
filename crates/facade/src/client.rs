//! The client: places, reads, hangs up, and drains.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use trunkline_core_types::{
    AccountId, Attempt, Call, CallRef, ClockExt, Deadline, Evidence, Idempotency, Rate,
};

use crate::builder::check_pace;
use crate::inner::Inner;
use crate::job::{Job, MAX_TIME};
use crate::place::place;
use crate::{Error, Order, PlaceAll, Placed};

/// Places calls through one or more accounts. Cheap to clone; all clones share pace, journal and connections.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

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
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    #[cfg(feature = "batch")]
    pub(crate) fn journal(&self) -> &Arc<dyn trunkline_core_types::AttemptJournal> {
        &self.0.shared.journal
    }

    /// Places one call and waits for the provider's answer: through the first account, or the next ones in their order while nobody can
    /// have been rung.
    ///
    /// Under a key of the caller's, placing again rings nobody: the old answer comes back, and two callers at once share one result.
    /// Dropping the future gives the call up; if bytes had left, the journal keeps it open.
    ///
    /// # Errors
    /// [`Error`], whose kind says what became of the call: bad input, not allowed, rejected, unsent or ambiguous.
    pub async fn place(&self, order: impl Into<Order>) -> Result<Placed, Error> {
        let order = order.into();
        let timeout = order.timeout.unwrap_or(self.0.first_route().total).min(MAX_TIME);
        let now = self.0.shared.clock.now();
        let job = Job::new(&self.0, order, Deadline::At(now + timeout), Evidence::new());
        place(&self.0, job, now).await
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

    /// Starts an account's calls at another pace from now on, with what was started under the old one taken into account. Whoever waits is
    /// served at the new one, and whose turn moves past its deadline ends unsent. It holds for this process, until it is set again.
    ///
    /// # Errors
    /// `Input` for an unknown account, and for a pace above the provider's ceiling.
    pub fn set_pace(&self, account: &AccountId, pace: Rate) -> Result<(), Error> {
        let route = self.0.route(account)?;
        check_pace(pace, route.provider.profile())?;
        route.pacer.set_rate(pace);
        Ok(())
    }

    /// Drains: nothing new is taken, whoever waits for a permit or a live-call lease ends unsent, what is under way may finish for `grace`.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.0.drain.close();
        self.0.routes.iter().for_each(|route| route.pacer.close());
        let clock = &self.0.shared.clock;
        clock.bounded(clock.now() + grace, self.0.drain.idle()).await;
        Drained { under_way: self.0.drain.running(), open: self.0.open_calls().await }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts: Vec<_> = self.0.routes.iter().map(|route| &route.account).collect();
        f.debug_struct("Client").field("accounts", &accounts).finish_non_exhaustive()
    }
}

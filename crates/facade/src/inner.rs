//! What all handles of one client share: its accounts, and the way of every operation but a placement.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, Uri};
use trunkline_core_types::{
    AccountId, Attempt, BreakerState, Call, CallJournal, Class, ClockExt, Deadline, E164, HttpService,
    IdempotencyKey, KeyProvider, Leases, NewCall, Observer, Operation, Outcome, Provider, ProviderError,
    WebUrl,
};
use trunkline_journal::MemoryCalls;
use trunkline_ratelimit::LocalPacer;
use trunkline_transport::BreakerHandle;

use crate::callback::keyed;
use crate::drain::Drain;
use crate::flights::Flights;
use crate::reconcile::{Cursor, Reclaimed};
use crate::stack::Shared;
use crate::steady::Steady;
use crate::{DialCheck, Error};

pub(crate) struct Inner {
    pub(crate) shared: Shared,
    /// The same clock as the shared one.
    pub(crate) steady: Arc<Steady>,
    pub(crate) routes: Vec<Route>,
    pub(crate) check: Option<Arc<dyn DialCheck>>,
    pub(crate) bulk: Bulk,
    pub(crate) drain: Drain,
    pub(crate) flights: Flights,
    /// What is heard of calls, where the journal does not keep it.
    pub(crate) heard: MemoryCalls,
    pub(crate) cursor: Cursor,
    pub(crate) reclaimed: Reclaimed,
}

/// One account with its stack.
pub(crate) struct Route {
    pub(crate) account: AccountId,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) stack: Arc<dyn HttpService>,
    pub(crate) pacer: Arc<LocalPacer>,
    pub(crate) leases: Option<(Arc<dyn Leases>, Duration)>,
    pub(crate) total: Duration,
    /// What a reconcile waits for after a call's fence: both.
    pub(crate) processing_delay: Duration,
    pub(crate) listing_delay: Duration,
    pub(crate) breaker: BreakerHandle,
    /// The caller id of calls that name none.
    pub(crate) from: Option<E164>,
    /// Where events of calls go that name no place of their own.
    pub(crate) callback_base: Option<WebUrl>,
    /// What callbacks are verified with; the signer's own cache.
    pub(crate) signing_keys: Option<Arc<dyn KeyProvider>>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Route {
    /// The request that places the call through this account.
    pub(crate) fn request(
        &self,
        call: &NewCall,
        key: &IdempotencyKey,
    ) -> Result<Request<Bytes>, ProviderError> {
        let calls_back = call.callback.is_some() || self.callback_base.is_none();
        if calls_back && (call.from.is_some() || self.from.is_none()) {
            return self.provider.create(call, key);
        }
        let mut call = call.clone();
        call.from = call.from.or(self.from);
        if let (None, Some(base)) = (&call.callback, &self.callback_base) {
            call.callback = Some(keyed(base, key)?);
        }
        self.provider.create(&call, key)
    }

    /// Whether the account's breaker is open: others are asked first then.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.breaker.state() == BreakerState::Open
    }
}

/// How `place_all` works through its input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk {
    pub(crate) concurrency: usize,
    pub(crate) wait: Duration,
}

impl Inner {
    /// The builder refuses a client without accounts.
    pub(crate) fn first_route(&self) -> &Route {
        &self.routes[0]
    }

    pub(crate) fn route(&self, account: &AccountId) -> Result<&Route, Error> {
        let unknown = || {
            let known: Vec<_> = self.routes.iter().map(|route| route.account.as_str()).collect();
            Error::settings(
                "account",
                &format!("no account is named {account}; there is: {}", known.join(", ")),
            )
        };
        self.routes.iter().find(|route| route.account == *account).ok_or_else(unknown)
    }

    pub(crate) fn single(&self, route: &Route) -> Deadline {
        Deadline::At(self.shared.clock.now() + route.total)
    }

    /// Where it is kept what was told of calls.
    pub(crate) fn calls(&self) -> &dyn CallJournal {
        self.shared.journal.calls().unwrap_or(&self.heard)
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

    pub(crate) async fn call(&self, route: &Route, attempt: Attempt) -> Result<Call, Error> {
        let outcome = self.send(route, attempt).await?;
        match &outcome.result {
            Ok(reply) => route.provider.read_call(reply).map_err(Error::provider),
            Err(_) => Err(Error::outcome(&outcome, None)),
        }
    }

    pub(crate) async fn raw(&self, route: &Route, attempt: Attempt) -> Result<Response<Bytes>, Error> {
        let outcome = self.send(route, attempt).await?;
        match outcome.result {
            Ok(reply) => Ok(reply.into_response()),
            Err(_) => Err(Error::outcome(&outcome, None)),
        }
    }

    pub(crate) fn absolute(
        &self,
        route: &Route,
        mut request: Request<Bytes>,
    ) -> Result<Request<Bytes>, Error> {
        if request.uri().scheme().is_none() {
            let whole = format!("{}{}", route.provider.origin(), request.uri());
            let problem = |_| Error::settings("url", "must be absolute, or a path that begins with /");
            *request.uri_mut() = whole.parse::<Uri>().map_err(problem)?;
        }
        Ok(request)
    }

    pub(crate) async fn open_calls(&self) -> usize {
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

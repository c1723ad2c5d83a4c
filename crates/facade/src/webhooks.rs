//! Callbacks in: verified, taken once, and what they prove noted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use trunkline_core_types::{
    AccountId, BoxFuture, CallEvent, CallRef, CallState, CallStatus, Class, ClockExt, Fact, Heard,
    JournalError, JournalErrorKind, KeySet, Pacer, Reply, Signal, WebhookError, WebhookErrorKind,
};

use crate::Client;
use crate::inner::{Inner, Route};

/// How long a callback may wait for the signing key.
const KEY_WAIT: Duration = Duration::from_secs(5);
/// How long it may wait for the journal.
const JOURNAL_WAIT: Duration = Duration::from_secs(5);

/// Takes the callbacks of a client's accounts. Cheap to clone; all handles of one client share what they have heard.
///
/// Your server passes each request on as it came, method, headers and raw body, and answers with any 2xx on `Ok` and with
/// [`WebhookError::status`] on `Err`:
///
/// ```no_run
/// # use trunkline::{AccountId, Client};
/// # async fn example(client: Client, account: AccountId, request: http::Request<bytes::Bytes>) -> http::StatusCode {
/// match client.webhooks().accept(&account, &request).await {
///     Ok(accepted) => {
///         println!("{} is {:?}", accepted.reference, accepted.state.status());
///         http::StatusCode::NO_CONTENT
///     }
///     Err(error) => error.status(),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

/// A callback that was taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// Which call it is about, for `get` and `hang_up`.
    pub reference: CallRef,
    /// What it says.
    pub event: CallEvent,
    /// The call as all events that this client has heard tell it, in whatever order they came.
    pub state: CallState,
    /// It was taken before; nothing was done this time.
    pub duplicate: bool,
    /// The journal knows the event's key and holds the call as placed. False for an event without a key, for a call that was placed by
    /// somebody else, and for one that the journal holds as refused: look at that one by hand.
    pub known: bool,
}

impl Client {
    /// Takes callbacks. The URL that a provider calls is [`Account::callback_base`](crate::Account::callback_base).
    pub fn webhooks(&self) -> Webhooks {
        Webhooks(self.0.clone())
    }
}

impl Webhooks {
    /// Verifies a callback with the account's [signing keys](crate::Account::signing_keys), current and previous, and takes it once.
    ///
    /// An event proves that its call was placed: it settles the call under the key in its signed body, also one whose outcome was not
    /// known. A final status ends the call's live-call lease, and the first ring tells the limiter how long the call was queued, see
    /// [`Account::queue_bound`](crate::Account::queue_bound). Events and the state of their calls are kept by the
    /// journal, so that with a durable one a repeat is known after a restart too; by a journal that keeps none, in memory, for the newest
    /// 100,000 calls. An event that was forgotten is taken again, which changes nothing. A callback that fails its check changes nothing at all.
    ///
    /// After the sender changed its secret without ours as the previous one, its callbacks are refused until the key cache looks at the
    /// store again (a minute by default); the sender repeats them.
    ///
    /// # Errors
    /// [`WebhookErrorKind::Signature`], `Unreadable` or `Stale` from the provider's check; `Account` for an account that this client does
    /// not have; `Unsupported` if it has no signing keys or its provider no callbacks; `Unavailable` if key or journal did not answer:
    /// then nothing was taken and the sender may repeat it.
    pub async fn accept(
        &self,
        account: &AccountId,
        request: &Request<Bytes>,
    ) -> Result<Accepted, WebhookError> {
        let found = self.0.routes.iter().find(|route| route.account == *account);
        let route = found.ok_or_else(|| {
            WebhookError::new(WebhookErrorKind::Account, format!("no account is named {account}"))
        })?;
        let taken = self.take(route, request).await;
        let result = match &taken {
            Ok(accepted) if accepted.duplicate => "duplicate",
            Ok(_) => "accepted",
            Err(error) => error.kind().as_str(),
        };
        route.observer.saw(Fact::Webhook { result });
        taken
    }

    /// The call as its events tell it so far; `None` if none was heard.
    ///
    /// # Errors
    /// [`WebhookErrorKind::Unavailable`] if the journal did not answer.
    pub async fn state(&self, call: &CallRef) -> Result<Option<CallState>, WebhookError> {
        self.answered("the journal could not tell what was heard", self.0.calls().state(call)).await
    }

    async fn answered<T>(
        &self,
        problem: &'static str,
        asked: BoxFuture<'_, Result<T, JournalError>>,
    ) -> Result<T, WebhookError> {
        let clock = &self.0.shared.clock;
        let unavailable = || WebhookError::new(WebhookErrorKind::Unavailable, problem);
        match clock.bounded(clock.now() + JOURNAL_WAIT, asked).await {
            Some(answer) => answer.map_err(|error| unavailable().with_source(error)),
            None => Err(unavailable()),
        }
    }

    async fn take(&self, route: &Route, request: &Request<Bytes>) -> Result<Accepted, WebhookError> {
        let clock = &self.0.shared.clock;
        let keys = self.keys(route).await?;
        let event = route.provider.webhook(request, &keys, clock.wall())?;
        let reference = CallRef { account: route.account.clone(), id: event.call.id.clone() };
        // Noted first: an event whose proof could not be noted has to come again. Of a repeat it changes nothing.
        let known = self.settle(route, &event)?;
        end_lease(route, &event);
        let Heard { state, duplicate } = self.hear(route, &reference, &event).await?;
        if duplicate {
            return Ok(Accepted { reference, known, event, state, duplicate });
        }
        feed_back(route, &event);
        Ok(Accepted { reference, event, state, duplicate, known })
    }

    async fn hear(&self, route: &Route, call: &CallRef, event: &CallEvent) -> Result<Heard, WebhookError> {
        let heard =
            self.answered("the journal could not keep the event", self.0.calls().hear(call, event)).await;
        if heard.is_err() {
            route.observer.saw(Fact::JournalFailed { step: "hear" });
        }
        heard
    }

    async fn keys(&self, route: &Route) -> Result<KeySet, WebhookError> {
        let keys = route.signing_keys.as_ref().ok_or_else(|| {
            let problem =
                "the account has no signing keys, so nobody can be verified; set Account::signing_keys";
            WebhookError::new(WebhookErrorKind::Unsupported, problem)
        })?;
        let until = self.0.shared.clock.now() + KEY_WAIT;
        keys.keys(until).await.map_err(|error| {
            let problem = "the signing key could not be had; see the cause";
            WebhookError::new(WebhookErrorKind::Unavailable, problem).with_source(error)
        })
    }

    /// Whether the journal holds the call as placed now.
    fn settle(&self, route: &Route, event: &CallEvent) -> Result<bool, WebhookError> {
        let Some(key) = &event.key else { return Ok(false) };
        let kept = || Reply::new(Response::new(event.body.clone())).to_record(&route.account);
        let record = (!event.body.is_empty()).then(kept);
        match self.0.shared.journal.settle(key, Class::Accepted, record) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == JournalErrorKind::State => {
                tracing::warn!(account = %route.account, %error, "an event tells of a call that the journal does not hold as placed");
                Ok(false)
            }
            Err(error) => {
                route.observer.saw(Fact::JournalFailed { step: "settle" });
                let problem = "the journal could not note the event; see the cause";
                Err(WebhookError::new(WebhookErrorKind::Unavailable, problem).with_source(error))
            }
        }
    }
}

/// Before the event is kept, since its repeat would be a duplicate if the journal kept it without being heard. Twice does no harm.
fn end_lease(route: &Route, event: &CallEvent) {
    if let (Some(key), Some((leases, _))) = (&event.key, &route.leases)
        && event.call.status.is_final()
    {
        leases.release(key.as_str());
    }
}

/// How long the call waited at the provider before it rang: only the ringing itself tells.
fn feed_back(route: &Route, event: &CallEvent) {
    let Some(created) = event.call.created.filter(|_| event.call.status == CallStatus::Ringing) else {
        return;
    };
    // A clock that stepped back between the two tells nothing.
    let Ok(waited) = SystemTime::from(event.created).duration_since(created.into()) else { return };
    route.observer.saw(Fact::Queued { waited });
    route.pacer.feedback(Signal::Queued { waited });
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("heard", &self.0.calls()).finish_non_exhaustive()
    }
}

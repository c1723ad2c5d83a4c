//! What one call's provider says of it, and what that proves.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core_types::{
    Attempt, Call, CallRef, Class, ClockExt, E164, Fact, Idempotency, IdempotencyKey, Intent, JournalError,
    JournalErrorKind, Lookup, ProviderError, Reply,
};

use super::listing::{Told, Window};
use super::{Finding, LISTING, MAX, Reconciler};
use crate::Error;
use crate::detail::number;
use crate::inner::Route;

/// The most pages of one listing.
const PAGES: usize = 10;

impl Reconciler {
    pub(super) async fn look(&self, intent: &Intent) -> Result<Finding, Error> {
        let Some(route) = self.route(intent) else { return Ok(Finding::StillUnknown) };
        let told = match self.by_key(route, intent).await? {
            Some(told) => told,
            None => self.by_number(route, intent).await?,
        };
        match told {
            Told::Ours(call) => self.placed(route, intent, &call).await,
            Told::Absent => self.absent(route, intent),
            Told::Only(_) | Told::Unclear => Ok(Finding::StillUnknown),
        }
    }

    /// What a look-up under the key proves; `None` if a listing has to say.
    async fn by_key(&self, route: &Route, intent: &Intent) -> Result<Option<Told>, Error> {
        let by = Lookup::Key(&intent.key);
        let Ok(request) = route.provider.lookup(by) else { return Ok(None) };
        let reply = self.read(route, request).await?;
        let read = route.provider.read_lookup(by, &reply).map_err(|error| proves_nothing(route, &error));
        Ok(match (read.map(|calls| calls.into_iter().next()), self.is_kept(route, intent)) {
            (Ok(Some(call)), _) => Some(Told::Ours(call)),
            (Ok(None), true) => Some(Told::Absent),
            (Err(()), true) => Some(Told::Unclear),
            (_, false) => None,
        })
    }

    /// Whether the provider honours the key, and still did when the call's time was over.
    fn is_kept(&self, route: &Route, intent: &Intent) -> bool {
        let Idempotency::Key { window } = route.provider.profile().idempotency else { return false };
        self.inner.shared.clock.wall().duration_since(intent.fence).is_ok_and(|age| age < window)
    }

    async fn by_number(&self, route: &Route, intent: &Intent) -> Result<Told, Error> {
        let Some(number) = number(&intent.detail) else { return Ok(Told::Unclear) };
        let window = Window::of(intent, route);
        let Some(created_after) = window.since() else { return Ok(Told::Unclear) };
        let by = Lookup::To { number, created_after };
        let (mut next, mut nameless) = (route.provider.lookup(by).ok(), Vec::new());
        for _ in 0..PAGES {
            let Some(request) = next.take() else { return Ok(Told::Unclear) };
            let reply = self.read(route, request).await?;
            let page = match route.provider.read_page(by, &reply) {
                Ok(page) => page,
                Err(error) => {
                    proves_nothing(route, &error);
                    return Ok(Told::Unclear);
                }
            };
            if let Some(ours) = page.calls.iter().find(|call| call.key.as_ref() == Some(&intent.key)) {
                return Ok(Told::Ours(ours.clone()));
            }
            nameless.extend(page.calls.into_iter().filter(|call| call.key.is_none()));
            next = page.next;
            if next.is_none() {
                return self.tell_apart(route, intent, number, nameless, &window).await;
            }
        }
        Ok(Told::Unclear)
    }

    /// What the calls without a key in a whole listing prove. Those of which the journal knows whose they are show that instead of a key.
    async fn tell_apart(
        &self,
        route: &Route,
        intent: &Intent,
        number: E164,
        nameless: Vec<Call>,
        window: &Window,
    ) -> Result<Told, Error> {
        let mut nobodys = Vec::new();
        for call in nameless {
            match self.key_of(route, &call).await? {
                Some(key) if key == intent.key => return Ok(Told::Ours(call)),
                Some(_) => {}
                None => nobodys.push(call),
            }
        }
        match window.tell(nobodys) {
            Told::Only(call)
                if self.has_rival(intent, number).await?
                    // A rival may have got its reply just then.
                    || self.key_of(route, &call).await?.is_some() =>
            {
                tracing::debug!(account = %intent.account, call = %call.id, "a call that two keys may have placed");
                Ok(Told::Unclear)
            }
            Told::Only(call) => Ok(Told::Ours(call)),
            told => Ok(told),
        }
    }

    /// Under which key a listed call was placed, as far as the journal was told.
    async fn key_of(&self, route: &Route, call: &Call) -> Result<Option<IdempotencyKey>, Error> {
        let clock = &self.inner.shared.clock;
        let call = CallRef { account: route.account.clone(), id: call.id.clone() };
        let asked = self.inner.calls().key_of(&call);
        let problem = "the journal could not tell whose a listed call is; see the cause";
        match clock.bounded(clock.now() + LISTING, asked).await {
            Some(answer) => answer.map_err(|error| Error::unsent(problem).caused_by(error)),
            None => Err(Error::unsent("the journal did not tell in time whose a listed call is")),
        }
    }

    /// Whether another open call is to the same number: then a call without a key may be that one's.
    async fn has_rival(&self, intent: &Intent, number: E164) -> Result<bool, Error> {
        let open = self.open().await;
        let open = open.ok_or_else(|| Error::unsent("the journal could not list its open calls"))?;
        let same = |other: &Arc<Intent>| {
            other.key != intent.key && self::number(&other.detail).is_none_or(|to| to == number)
        };
        // Of too many to look at them all any one may be.
        Ok(open.len() >= MAX || open.iter().any(same))
    }

    async fn read(&self, route: &Route, request: http::Request<Bytes>) -> Result<Reply, Error> {
        let attempt = Attempt::read(request, self.inner.single(route));
        self.inner.raw(route, attempt).await.map(Reply::new)
    }

    async fn placed(&self, route: &Route, intent: &Intent, call: &Call) -> Result<Finding, Error> {
        // The call's own reply is what `place` gives again; without it the call is placed all the same.
        let reply = match route.provider.get(&call.id) {
            Ok(request) => self.read(route, request).await.ok(),
            Err(_) => None,
        };
        let readable = reply.filter(|reply| route.provider.read_call(reply).is_ok());
        let record = readable.map(|reply| reply.to_record(&route.account));
        if call.status.is_final() {
            release(route, intent);
        }
        let found = self.settle(route, intent, Class::Accepted, record, Finding::Placed)?;
        if found == Finding::Placed {
            self.inner.calls().placed(&intent.key, &route.account, call);
        }
        Ok(found)
    }

    fn absent(&self, route: &Route, intent: &Intent) -> Result<Finding, Error> {
        if !self.frees {
            return Ok(Finding::ProvenAbsent);
        }
        let free = || {
            let found = self.settle(route, intent, Class::Unsent, None, Finding::ProvenAbsent)?;
            if found == Finding::ProvenAbsent {
                release(route, intent);
            }
            Ok(found)
        };
        // Of a claim that came since then the answer says nothing.
        self.inner.reclaimed.free(&intent.key, free).unwrap_or(Ok(Finding::StillUnknown))
    }

    fn settle(
        &self,
        route: &Route,
        intent: &Intent,
        class: Class,
        record: Option<Bytes>,
        finding: Finding,
    ) -> Result<Finding, Error> {
        match self.inner.shared.journal.settle(&intent.key, class, record) {
            Ok(()) => Ok(finding),
            // Somebody else settled it meanwhile, for example a callback: what stands there stays.
            Err(error) if error.kind() == JournalErrorKind::State => Ok(Finding::StillUnknown),
            Err(error) => {
                route.observer.saw(Fact::JournalFailed { step: "settle" });
                Err(unnoted(error))
            }
        }
    }
}

fn proves_nothing(route: &Route, error: &ProviderError) {
    tracing::debug!(account = %route.account, %error, "a look-up that proves nothing");
}

fn release(route: &Route, intent: &Intent) {
    if let Some((leases, _)) = &route.leases {
        leases.release(intent.key.as_str());
    }
}

fn unnoted(error: JournalError) -> Error {
    Error::unsent("the journal could not note what became of a call; it stays open").caused_by(error)
}

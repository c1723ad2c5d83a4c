//! What became of calls whose outcome is not known: asks the provider, never before it can know, and believes only proof.

mod listing;
mod look;
mod reclaimed;
mod report;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;
#[cfg(trunkline_mutation)]
use trunkline_core_types::Mutation;
use trunkline_core_types::{ClockExt, Fact, IdempotencyKey, Intent};

pub(crate) use reclaimed::Reclaimed;
pub use report::{Finding, Report};

use crate::inner::{Inner, Route};
use crate::{Client, Error};

/// Calls asked about at once.
const AT_ONCE: usize = 8;
/// Calls listed from the journal at once.
const PAGE: usize = 256;
/// How long the journal may take to list a page.
const LISTING: Duration = Duration::from_secs(5);
/// The most calls of one run, and the most that are counted.
const MAX: usize = 10_000;
/// Later than every fence.
const FAR: Duration = Duration::from_secs(1 << 40);

/// Where the last run stopped; held while a run is under way, so that there is one at a time.
pub(crate) type Cursor = Mutex<Option<IdempotencyKey>>;

/// Settles calls whose outcome is not known, by asking their provider for them. The caller drives it.
///
/// A call is asked about once its fence has passed (nothing of it can leave any more) and after that the provider's processing and
/// listing delays: [`Account::processing_delay`](crate::Account::processing_delay), [`Account::listing_delay`](crate::Account::listing_delay).
/// Found, it is settled as placed. A whole answer without it proves that it was not placed; then it is reported and stays open, unless
/// [`Reconciler::free_proven_absent`] was chosen. Every other answer leaves it unknown. A reconciler dials nobody.
///
/// It asks by the call's key. Where the provider cannot, or honours no keys, or the time for which it keeps them is over, that alone
/// proves no absence, and the calls to the number since a day before the fence are listed, at most 1,000. A listed call with the key is
/// ours, one with another key is not, and a call that shows none has the key of which the journal was told. Of the others one that is the
/// only one of that day, was created in the minutes of the attempt, and to whose number no other call is open is taken for ours; otherwise the
/// answer is still unknown. That one may be a call of somebody else, or of a key whose reply could not be read: nobody is rung because
/// of it. A listing that is cut or fails proves nothing.
///
/// ```no_run
/// # use std::time::Duration;
/// # use futures_util::StreamExt;
/// # async fn example(client: trunkline::Client) {
/// let mut reports = std::pin::pin!(client.reconciler().every(Duration::from_secs(60), 1_000));
/// while let Some(report) = reports.next().await {
///     println!("{} placed, {} still unknown", report.placed, report.still_unknown);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Reconciler {
    inner: Arc<Inner>,
    frees: bool,
}

impl Client {
    /// Finds out what became of calls whose outcome is not known. By default it frees no key.
    pub fn reconciler(&self) -> Reconciler {
        Reconciler { inner: self.0.clone(), frees: false }
    }
}

impl Reconciler {
    /// Frees the key of a call that is proven not to have been placed, so that `place` may dial it again. Default: it stays open and is
    /// only reported. The risk is yours: the proof is the provider's word that it has no such call, and a provider that acts later than
    /// its documented delays rings the person a second time. Let one process of a shared journal free keys.
    #[must_use]
    pub fn free_proven_absent(mut self) -> Self {
        self.frees = true;
        self
    }

    /// Looks at up to `limit` calls (at most 10,000) whose time has come, going on where the last run stopped and from the start once it
    /// reached the end. Each is read through its account's stack, 8 at a time. Then counts what is open, for the metrics.
    ///
    /// One run at a time per client: a second one at once looks at nothing and says so. Dropping it stops it between two calls.
    pub async fn run_once(&self, limit: usize) -> Report {
        let mut report = Report::default();
        let Ok(mut cursor) = self.inner.cursor.try_lock() else {
            report.error = Some(Error::unsent("another reconcile of this client is under way"));
            return report;
        };
        let _watch = self.frees.then(|| self.inner.reclaimed.watch());
        let (due, error) = self.due(&mut cursor, limit.min(MAX)).await;
        report.error = error;
        let mut looks = stream::iter(due)
            .map(|intent| async move {
                let looked = self.look(&intent).await;
                (intent.key.clone(), looked)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((key, looked)) = looks.next().await {
            report.note(key, looked);
        }
        self.count_open(&mut report).await;
        report
    }

    /// A run at once and one after each `interval`, for as long as the stream is polled. Never ends by itself.
    pub fn every(&self, interval: Duration, limit: usize) -> impl Stream<Item = Report> + Send + use<> {
        stream::unfold((self.clone(), true), move |(reconciler, first)| async move {
            if !first {
                let clock = &reconciler.inner.shared.clock;
                clock.sleep_until(clock.now() + interval).await;
            }
            let report = reconciler.run_once(limit).await;
            Some((report, (reconciler, false)))
        })
    }

    /// The next calls whose time has come, and why they are not more: the cursor has passed these, so they are looked at all the same.
    async fn due(
        &self,
        cursor: &mut Option<IdempotencyKey>,
        limit: usize,
    ) -> (Vec<Arc<Intent>>, Option<Error>) {
        let now = self.inner.steady.passed();
        let soonest = self.inner.routes.iter().map(delays).min().unwrap_or_default();
        let Some(fenced_before) = now.checked_sub(soonest) else { return (Vec::new(), None) };
        #[cfg(trunkline_mutation)]
        let fenced_before = fenced_before + 1_000 * LISTING * u32::from(Mutation::FenceIgnored.is_on());
        let (mut due, mut midway) = (Vec::new(), cursor.is_some());
        while due.len() < limit {
            let page = match self.page(fenced_before, cursor.as_ref(), PAGE).await {
                Ok(page) => page,
                Err(error) => return (due, Some(error)),
            };
            let last = page.len() < PAGE;
            for intent in page {
                if due.len() == limit {
                    return (due, None);
                }
                *cursor = Some(intent.key.clone());
                if self.is_due(&intent, now) {
                    due.push(intent);
                }
            }
            if last {
                *cursor = None;
                if !due.is_empty() || !std::mem::take(&mut midway) {
                    break;
                }
            }
        }
        (due, None)
    }

    async fn page(
        &self,
        fenced_before: SystemTime,
        after: Option<&IdempotencyKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Intent>>, Error> {
        let shared = &self.inner.shared;
        let until = shared.clock.now() + LISTING;
        match shared.clock.bounded(until, shared.journal.open_calls(fenced_before, after, limit)).await {
            Some(Ok(page)) => Ok(page),
            Some(Err(error)) => {
                Err(Error::unsent("the journal could not list its open calls").caused_by(error))
            }
            None => Err(Error::unsent("the journal did not list its open calls in time")),
        }
    }

    /// Before this nothing that a provider says is proof: the call may still leave, be acted on, or be missing from a listing.
    fn is_due(&self, intent: &Intent, now: SystemTime) -> bool {
        let wait = self.route(intent).map_or(Duration::ZERO, delays);
        #[cfg(trunkline_mutation)]
        if Mutation::FenceIgnored.is_on() {
            return true;
        }
        intent.fence.checked_add(wait).is_some_and(|at| at < now)
    }

    fn route(&self, intent: &Intent) -> Option<&Route> {
        self.inner.routes.iter().find(|route| route.account == intent.account)
    }

    /// Tells each account's observer how many of its calls are open past their fence, and since when the oldest, and the report how many
    /// are open at all.
    async fn count_open(&self, report: &mut Report) {
        let Some(open) = self.open().await else { return };
        let now = self.inner.shared.clock.wall();
        report.open = open.len();
        for intent in &open {
            let due = intent.fence.checked_add(self.route(intent).map_or(Duration::ZERO, delays));
            let left = due.and_then(|at| at.duration_since(now).ok());
            report.waiting += usize::from(left.is_some());
            report.next_in = report.next_in.into_iter().chain(left).min();
        }
        for route in &self.inner.routes {
            let own = open.iter().filter(|intent| intent.account == route.account && intent.fence < now);
            let (mut count, mut oldest) = (0, Duration::ZERO);
            for intent in own {
                count += 1;
                oldest = oldest.max(now.duration_since(intent.fence).unwrap_or_default());
            }
            route.observer.saw(Fact::OpenCalls { count, oldest });
        }
    }

    /// The open calls, at most [`MAX`]; `None` if the journal does not list them.
    async fn open(&self) -> Option<Vec<Arc<Intent>>> {
        let far = SystemTime::UNIX_EPOCH + FAR;
        let (mut open, mut after): (Vec<Arc<Intent>>, Option<IdempotencyKey>) = (Vec::new(), None);
        loop {
            let page = self.page(far, after.as_ref(), PAGE.min(MAX - open.len())).await.ok()?;
            let last = page.len() < PAGE;
            after = page.last().map(|intent| intent.key.clone());
            open.extend(page);
            if last || open.len() == MAX {
                return Some(open);
            }
        }
    }
}

fn delays(route: &Route) -> Duration {
    #[cfg(trunkline_mutation)]
    if Mutation::DelayIgnored.is_on() {
        return Duration::ZERO;
    }
    route.processing_delay.saturating_add(route.listing_delay)
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").field("frees", &self.frees).finish_non_exhaustive()
    }
}

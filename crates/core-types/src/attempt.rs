//! One attempt on its way down the stack, and the spare copy from which only the retry gate can make another.

mod spare;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Request;

use crate::{AccountId, Clock, Evidence, IdempotencyKey, Lane, Operation};

pub use spare::Spare;

/// When an operation has to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// At this instant, waits and repeats included: a single call.
    At(Instant),
    /// In bulk: until when it may wait for its first permit, then its time from there.
    AfterPermit {
        /// Until when to wait for the first permit.
        wait_until: Instant,
        /// The time it has from its first permit.
        then: Duration,
    },
}

impl Deadline {
    /// The latest instant at which anything of the operation can still happen.
    pub fn ends_by(self) -> Instant {
        match self {
            Self::At(at) => at,
            Self::AfterPermit { wait_until, then } => wait_until + then,
        }
    }
}

/// Why repeating the same bytes does, or does not, act twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// A repeat acts again.
    No,
    /// The request's own meaning: a read, or hanging up twice.
    Natural,
    /// The provider honours the request's idempotency key for this long after its first use.
    Key {
        /// How long the provider keeps the key, less a margin.
        window: Duration,
    },
}

/// What is noted of a call before anything of it leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Intent {
    /// The call's one name.
    pub key: IdempotencyKey,
    /// The account it is placed through.
    pub account: AccountId,
    /// What is to be placed, as the facade writes it; the same key with another detail is a mismatch.
    pub detail: Bytes,
    /// After this wall time nothing of the call can leave this process any more.
    pub fence: SystemTime,
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The detail holds a phone number in clear.
        f.debug_struct("Intent")
            .field("key", &self.key)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// One attempt: a request, what it does, until when, and the cell that tells what became of it. One pointer wide.
///
/// An attempt is not `Clone`, so a hedge or a blind repeat of a create does not compile:
///
/// ```compile_fail
/// # use trunkline_core_types::Attempt;
/// fn hedge(attempt: Attempt) -> (Attempt, Attempt) { (attempt.clone(), attempt) }
/// ```
pub struct Attempt(Box<Parts>);

struct Parts {
    request: Request<Bytes>,
    terms: Terms,
    start_by: Option<Instant>,
    at: Option<Instant>,
}

/// What an attempt has in common with its repeats, beside the request.
#[derive(Clone)]
struct Terms {
    operation: Operation,
    number: u32,
    lane: Lane,
    /// As the caller gave it.
    given: Deadline,
    evidence: Evidence,
    idempotency: Idempotency,
    intent: Option<Arc<Intent>>,
}

impl Terms {
    /// Resolved by the call's first permit, if there was one.
    fn deadline(&self) -> Deadline {
        match self.given {
            Deadline::AfterPermit { then, .. } => {
                self.evidence.permitted().map_or(self.given, |first| Deadline::At(first + then))
            }
            at => at,
        }
    }
}

impl Attempt {
    /// The first attempt of a create. It cannot be built without the intent that the journal has claimed.
    pub fn create(
        request: Request<Bytes>,
        intent: Arc<Intent>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Self {
        Self::create_reporting_to(Evidence::new(), request, intent, idempotency, deadline)
    }

    /// The same, reporting into this cell of a call that has not been tried, which the caller keeps.
    pub fn create_reporting_to(
        evidence: Evidence,
        request: Request<Bytes>,
        intent: Arc<Intent>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Self {
        Self::build(evidence, request, Operation::Create, idempotency, deadline, Some(intent))
    }

    /// The first attempt of the same call through another account, after what `before` tells of the earlier ones; `None` if by that the
    /// provider may have acted or refused the call itself. Numbers and deadline go on, the cell is `before`.
    pub fn elsewhere(
        request: Request<Bytes>,
        intent: Arc<Intent>,
        idempotency: Idempotency,
        deadline: Deadline,
        before: &Evidence,
    ) -> Option<Self> {
        if !before.folded().may_go_elsewhere() {
            return None;
        }
        before.renew();
        let number = before.number() + 1;
        let next = Self::create_reporting_to(before.clone(), request, intent, idempotency, deadline);
        Some(next.numbered(number))
    }

    /// The first attempt of a change, for example a hang-up.
    pub fn change(request: Request<Bytes>, idempotency: Idempotency, deadline: Deadline) -> Self {
        Self::build(Evidence::new(), request, Operation::Change, idempotency, deadline, None)
    }

    /// The first attempt of a read.
    pub fn read(request: Request<Bytes>, deadline: Deadline) -> Self {
        Self::build(Evidence::new(), request, Operation::Read, Idempotency::Natural, deadline, None)
    }

    fn build(
        evidence: Evidence,
        request: Request<Bytes>,
        operation: Operation,
        idempotency: Idempotency,
        deadline: Deadline,
        intent: Option<Arc<Intent>>,
    ) -> Self {
        let (number, lane) = (1, Lane::Interactive);
        evidence.note_number(number);
        Self::of(request, Terms { operation, number, lane, given: deadline, evidence, idempotency, intent })
    }

    fn of(request: Request<Bytes>, terms: Terms) -> Self {
        Self(Box::new(Parts { request, terms, start_by: None, at: None }))
    }

    /// Waits in this line for its permit. Default: interactive.
    #[must_use]
    pub fn in_lane(mut self, lane: Lane) -> Self {
        self.0.terms.lane = lane;
        self
    }

    /// Numbered from here, as the journal's claim said. Default: 1.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Self {
        self.0.terms.number = number;
        self.0.terms.evidence.note_number(number);
        self
    }

    /// The request.
    pub fn request(&self) -> &Request<Bytes> {
        &self.0.request
    }

    /// The request, for a signer.
    pub fn request_mut(&mut self) -> &mut Request<Bytes> {
        &mut self.0.request
    }

    /// Takes the request out, for the leaf, which sends it once.
    pub fn take_request(&mut self) -> Request<Bytes> {
        std::mem::take(&mut self.0.request)
    }

    /// What it does.
    pub fn operation(&self) -> Operation {
        self.0.terms.operation
    }

    /// Attempts of one key are numbered upwards.
    pub fn number(&self) -> u32 {
        self.0.terms.number
    }

    /// Which line it waits in.
    pub fn lane(&self) -> Lane {
        self.0.terms.lane
    }

    /// Until when, as given by the caller or resolved by the first permit.
    pub fn deadline(&self) -> Deadline {
        self.0.terms.deadline()
    }

    /// Whether it is one of a call in bulk, whose time runs from its first permit.
    pub fn runs_from_permit(&self) -> bool {
        matches!(self.0.terms.given, Deadline::AfterPermit { .. })
    }

    /// Until when it may wait for its permit.
    pub fn wait_until(&self) -> Instant {
        match self.deadline() {
            Deadline::At(at) => at,
            Deadline::AfterPermit { wait_until, .. } => wait_until,
        }
    }

    /// The instant its first byte must have left by; `None` if it needs no permit.
    pub fn start_by(&self) -> Option<Instant> {
        self.0.start_by
    }

    /// What the clock said last on the attempt's way; asked now if nobody did. A layer that may have waited since calls
    /// [`Attempt::refresh`], and whoever must not be late reads the clock itself.
    pub fn at(&mut self, clock: &dyn Clock) -> Instant {
        *self.0.at.get_or_insert_with(|| clock.now())
    }

    /// Asks the clock again, after a wait.
    pub fn refresh(&mut self, clock: &dyn Clock) -> Instant {
        *self.0.at.insert(clock.now())
    }

    /// The report cell; clone it before the attempt is handed down.
    pub fn evidence(&self) -> &Evidence {
        &self.0.terms.evidence
    }

    /// Why a repeat does not act twice, if so.
    pub fn idempotency(&self) -> Idempotency {
        self.0.terms.idempotency
    }

    /// What the journal claimed; a create always has it.
    pub fn intent(&self) -> Option<&Arc<Intent>> {
        self.0.terms.intent.as_ref()
    }

    /// The limiter grants a permit at `now`: the first byte leaves by `start_by`, and a bulk deadline starts to run.
    pub fn permit(&mut self, now: Instant, start_by: Instant) {
        self.0.terms.evidence.permit(now);
        (self.0.start_by, self.0.at) = (Some(start_by), Some(now));
    }

    /// A copy of the attempt as it is now, still unsigned, that only the gate's token turns into the next attempt.
    pub fn spare(&self) -> Spare {
        Spare::of(&self.0.request, &self.0.terms)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No URL, header or body: they hold numbers and keys.
        f.debug_struct("Attempt")
            .field("operation", &self.0.terms.operation)
            .field("number", &self.0.terms.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Clock, Scope, SystemClock};

    #[test]
    fn a_reading_is_kept_until_a_wait_or_a_permit() {
        let clock = SystemClock::new();
        let mut attempt = Attempt::read(Request::default(), Deadline::At(clock.now()));
        let first = attempt.at(&clock);
        assert_eq!(attempt.at(&clock), first);
        let permitted = first + Duration::from_secs(1);
        attempt.permit(permitted, permitted);
        assert_eq!(attempt.at(&clock), permitted);
        assert!(attempt.refresh(&clock) < permitted && attempt.at(&clock) < permitted);
    }

    #[test]
    fn another_account_is_tried_only_where_nobody_can_have_been_rung() {
        let now = SystemClock::new().now();
        let intent = Arc::new(Intent {
            key: "key".parse().unwrap(),
            account: "backup".parse().unwrap(),
            detail: Bytes::new(),
            fence: SystemTime::UNIX_EPOCH,
        });
        let bulk = Deadline::AfterPermit { wait_until: now, then: Duration::from_secs(9) };
        let elsewhere = |before: &Evidence| {
            Attempt::elsewhere(Request::default(), intent.clone(), Idempotency::No, bulk, before)
        };
        for class in Class::ALL {
            let (evidence, request, intent) = (Evidence::new(), Request::default(), intent.clone());
            Attempt::create_reporting_to(evidence.clone(), request, intent, Idempotency::No, bulk)
                .numbered(4)
                .permit(now, now);
            evidence.settle(class);
            let next = elsewhere(&evidence);
            let may = matches!(class, Class::Unsent | Class::Deferred | Class::Rejected(Scope::Account));
            assert_eq!(next.is_some(), may, "{class:?}");
            if let Some(next) = next {
                assert_eq!((next.number(), next.evidence().class()), (5, Class::Unsent));
                assert_eq!(next.deadline(), Deadline::At(now + Duration::from_secs(9)));
                next.evidence().live();
                assert_eq!(evidence.class(), Class::Ambiguous);
            }
        }
        let first = Attempt::create(Request::default(), intent.clone(), Idempotency::No, bulk);
        assert_eq!(elsewhere(first.evidence()).unwrap().number(), 2);
        // An unknown outcome is remembered through later refusals.
        let evidence = Evidence::new();
        evidence.live();
        evidence.renew();
        evidence.settle(Class::Rejected(Scope::Account));
        assert!(elsewhere(&evidence).is_none());
    }
}

//! The stack in steps, over a leaf that answers at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use trunkline::keys::StaticKeys;
use trunkline::metrics::MetricsObserver;
use trunkline::providers::ClaudeVoice;
use trunkline::{
    AccountId, AttemptJournal, BoxFuture, Class, Clock, IdempotencyKey, KeyProvider, NewCall, Observer,
    Provider, Rate, RetrySettings, SeededEntropy, SystemClock, SystemEntropy,
};
use trunkline_auth_secrets::{BearerSigner, CacheSettings, CachedKeys, Signers, XSignatureSigner};
use trunkline_core_types::{Attempt, Deadline, HttpService, Intent, Origin, Outcome, Pacer, Reply};
use trunkline_journal::MemoryJournal;
use trunkline_ratelimit::{LocalPacerSettings, UnlimitedPacer};
use trunkline_telemetry::{AttemptMetrics, CallMetrics};
use trunkline_transport::{Breaker, BreakerSettings, Journaled, Limiter, Retry, Signer};

use super::BASE;
use crate::sample;

/// How much of the stack a call goes through. Each step holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    Leaf,
    AttemptMetrics,
    Journal,
    Bearer,
    BodySignature,
    Pacing,
    CallMetrics,
    Parse,
    Breaker,
    Retry,
    LocalPacer,
    Build,
    Recorder,
}

impl Depth {
    pub(super) const ALL: [Self; 13] = [
        Self::Leaf,
        Self::AttemptMetrics,
        Self::Journal,
        Self::Bearer,
        Self::BodySignature,
        Self::Pacing,
        Self::CallMetrics,
        Self::Parse,
        Self::Breaker,
        Self::Retry,
        Self::LocalPacer,
        Self::Build,
        Self::Recorder,
    ];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::AttemptMetrics => "attempt-metrics",
            Self::Journal => "journal",
            Self::Bearer => "bearer",
            Self::BodySignature => "body-signature",
            Self::Breaker => "breaker",
            Self::Pacing => "pacing",
            Self::Retry => "retry",
            Self::CallMetrics => "call-metrics",
            Self::Parse => "parse",
            Self::LocalPacer => "local-pacer",
            Self::Build => "build",
            Self::Recorder => "recorder",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leaf => "attempt, and a leaf that answers at once",
            Self::AttemptMetrics => "+ attempt metrics, no recorder",
            Self::Journal => "+ journal in memory: claim, begin, end",
            Self::Bearer => "+ signer: cached key, Bearer",
            Self::BodySignature => "+ X-Signature over 100 B",
            Self::Breaker => "+ breaker, closed",
            Self::Pacing => "+ limiter that never waits",
            Self::Retry => "+ retry: the stack",
            Self::CallMetrics => "+ call metrics, no recorder",
            Self::Parse => "+ typed parse of 107 B: what the aim names",
            Self::LocalPacer => "+ LocalPacer instead, in-flight cap",
            Self::Build => "+ request built from a NewCall",
            Self::Recorder => "+ Prometheus recorder on",
        }
    }
}

/// What one call starts from; made before it is timed.
pub(super) struct Input {
    request: Request<Bytes>,
    intent: Arc<Intent>,
}

/// Everything that calls share.
pub(super) struct Bench {
    clock: Arc<dyn Clock>,
    entropy: SeededEntropy,
    journal: Arc<dyn AttemptJournal>,
    observer: Arc<dyn Observer>,
    keys: Arc<dyn KeyProvider>,
    voice: ClaudeVoice,
    call: NewCall,
    account: AccountId,
    recorder: PrometheusRecorder,
}

impl Bench {
    pub(super) fn new(runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let keys = Arc::new(StaticKeys::new("bench-key-0001".into())?);
        let keys: Arc<dyn KeyProvider> = Arc::new(CachedKeys::new(keys, CacheSettings::default())?);
        runtime.block_on(keys.keys(clock.now() + Duration::from_secs(5)))?;
        let account: AccountId = "main".parse()?;
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let journal = MemoryJournal::new(clock.clone()).max_keys(10_000).retention(Duration::ZERO);
        Ok(Self {
            entropy: SeededEntropy::new(1),
            journal: Arc::new(journal),
            observer: Arc::new(MetricsObserver::new(&account)),
            keys,
            voice: ClaudeVoice::new(BASE)?,
            call: NewCall::say(sample::TO, sample::SAY)?,
            account,
            recorder: PrometheusBuilder::new().set_buckets(&buckets)?.build_recorder(),
            clock,
        })
    }

    pub(super) fn input(&self) -> Input {
        let key = IdempotencyKey::mint(&self.entropy);
        let request = self.voice.create(&self.call, &key).unwrap_or_default();
        let (account, detail) = (self.account.clone(), Bytes::from_static(sample::BODY.as_bytes()));
        let fence = self.clock.wall() + Duration::from_secs(30);
        Input { request, intent: Arc::new(Intent { key, account, detail, fence }) }
    }

    /// True if the call was placed; a caller that gets false would time an error.
    pub(super) fn call(&self, depth: Depth, stack: &dyn HttpService, input: Input) -> bool {
        if depth < Depth::Recorder {
            return self.place(depth, stack, input).unwrap_or(false);
        }
        metrics::with_local_recorder(&self.recorder, || self.place(depth, stack, input)).unwrap_or(false)
    }

    fn place(&self, depth: Depth, stack: &dyn HttpService, input: Input) -> Option<bool> {
        let deadline = Deadline::At(self.clock.now() + Duration::from_secs(30));
        let request = match depth >= Depth::Build {
            true => self.voice.create(&self.call, &input.intent.key).ok()?,
            false => input.request,
        };
        if depth >= Depth::Journal {
            self.journal.claim(&input.intent).now_or_never()?.ok()?;
        }
        let idempotency = self.voice.profile().idempotency;
        let attempt = Attempt::create(request, input.intent, idempotency, deadline);
        let outcome = stack.send(attempt).now_or_never()?;
        if depth >= Depth::Parse {
            return Some(self.voice.read_call(outcome.result.as_ref().ok()?).is_ok());
        }
        Some(outcome.class == Class::Accepted)
    }

    pub(super) fn stack(&self, depth: Depth) -> Result<Arc<dyn HttpService>> {
        let mut stack: Arc<dyn HttpService> = Arc::new(Leaf {});
        let (clock, observer) = (&self.clock, &self.observer);
        if depth >= Depth::AttemptMetrics {
            stack = Arc::new(AttemptMetrics::new(stack, clock.clone(), observer.clone()));
        }
        if depth >= Depth::Journal {
            stack = Arc::new(Journaled::new(stack, self.journal.clone(), clock.clone(), observer.clone()));
        }
        if depth >= Depth::Bearer {
            stack = Arc::new(Signer::new(stack, Arc::new(self.signers(depth)?), clock.clone()));
        }
        if depth >= Depth::Breaker {
            let (settings, entropy) = (BreakerSettings::default(), Arc::new(SystemEntropy::new()));
            stack = Arc::new(Breaker::new(stack, settings, clock.clone(), entropy, observer.clone())?);
        }
        if depth >= Depth::Pacing {
            stack = Arc::new(Limiter::new(stack, self.pacer(depth)?, clock.clone(), observer.clone()));
        }
        if depth >= Depth::Retry {
            let (settings, entropy) = (RetrySettings::default(), Arc::new(SystemEntropy::new()));
            stack = Arc::new(Retry::new(stack, settings, clock.clone(), entropy, observer.clone()));
        }
        if depth >= Depth::CallMetrics {
            stack = Arc::new(CallMetrics::new(stack, clock.clone(), observer.clone()));
        }
        Ok(stack)
    }

    fn signers(&self, depth: Depth) -> Result<Signers> {
        let origin: Origin = BASE.parse()?;
        let signers = Signers::new(BearerSigner::new(origin.clone(), self.keys.clone()));
        Ok(match depth >= Depth::BodySignature {
            true => signers.with_body_signature(XSignatureSigner::new(origin, self.keys.clone())),
            false => signers,
        })
    }

    fn pacer(&self, depth: Depth) -> Result<Arc<dyn Pacer>> {
        if depth < Depth::LocalPacer {
            return Ok(Arc::new(UnlimitedPacer::new()));
        }
        let pacer = LocalPacerSettings::new(Rate::per_second(NonZeroU32::MAX), self.clock.clone())
            .in_flight_max(NonZeroU32::MIN.saturating_add(63))
            .observer(self.observer.clone())
            .build()?;
        Ok(Arc::new(pacer))
    }
}

#[derive(Debug)]
struct Leaf {}

impl HttpService for Leaf {
    fn send(&self, mut attempt: Attempt) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let request = attempt.take_request();
            attempt.evidence().live();
            attempt.evidence().settle(Class::Accepted);
            let mut response = Response::new(Bytes::from_static(sample::REPLY.as_bytes()));
            *response.status_mut() = StatusCode::CREATED;
            drop(request);
            Outcome::new(Class::Accepted, Ok(Reply::new(response)))
        })
    }

    fn warm<'a>(&'a self, _: &'a Attempt) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

//! A journal and a key store that are slow at times, and a provider that knows no idempotency keys.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline_core_types::{
    AttemptJournal, BoxFuture, Call, CallId, Claim, Class, Clock, Idempotency, IdempotencyKey, Intent,
    JournalError, Judge, KeyError, KeyProvider, KeySet, NewCall, Operation, Profile, Provider, ProviderError,
    Reply, Verdict,
};
use trunkline_journal::MemoryJournal;

use super::provider::World;

#[derive(Debug)]
pub(super) struct SlowJournal {
    pub(super) inner: MemoryJournal,
    pub(super) world: Arc<World>,
    pub(super) slow: u64,
}

async fn pause(world: &World, slow: u64) {
    if world.chance(slow) {
        let time = if world.chance(100) { Duration::from_secs(1) } else { Duration::from_millis(60) };
        world.clock.sleep_until(world.clock.now() + time).await;
    }
}

impl AttemptJournal for SlowJournal {
    fn claim<'a>(&'a self, intent: &'a Arc<Intent>) -> BoxFuture<'a, Result<Claim, JournalError>> {
        // Not slow: a claim that is dropped in the middle is another test's.
        self.inner.claim(intent)
    }

    fn begin<'a>(&'a self, intent: &'a Arc<Intent>, number: u32) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            pause(&self.world, self.slow).await;
            self.inner.begin(intent, number).await
        })
    }

    fn end(
        &self,
        key: &IdempotencyKey,
        number: u32,
        class: Class,
        reply: Option<Bytes>,
    ) -> Result<(), JournalError> {
        self.inner.end(key, number, class, reply)
    }

    fn settle(&self, key: &IdempotencyKey, class: Class, reply: Option<Bytes>) -> Result<(), JournalError> {
        self.inner.settle(key, class, reply)
    }

    fn open_calls<'a>(
        &'a self,
        fenced_before: SystemTime,
        after: Option<&'a IdempotencyKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Intent>>, JournalError>> {
        self.inner.open_calls(fenced_before, after, limit)
    }
}

#[derive(Debug)]
pub(super) struct SlowKeys {
    pub(super) inner: StaticKeys,
    pub(super) world: Arc<World>,
    pub(super) slow: u64,
}

impl KeyProvider for SlowKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        Box::pin(async move {
            pause(&self.world, self.slow).await;
            self.inner.keys(deadline).await
        })
    }
}

/// The Claude-style API of a provider that promises nothing about repeats.
#[derive(Debug)]
pub(super) struct Unkeyed {
    voice: ClaudeVoice,
    profile: Profile,
}

impl Unkeyed {
    pub(super) fn new(voice: ClaudeVoice) -> Self {
        let mut profile = voice.profile().clone();
        profile.idempotency = Idempotency::No;
        Self { voice, profile }
    }
}

impl Judge for Unkeyed {
    fn judge(&self, operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        self.voice.judge(operation, status, headers, body)
    }
}

impl Provider for Unkeyed {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn origin(&self) -> &str {
        self.voice.origin()
    }

    fn create(&self, call: &NewCall, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
        self.voice.create(call, key)
    }

    fn get(&self, id: &CallId) -> Result<Request<Bytes>, ProviderError> {
        self.voice.get(id)
    }

    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError> {
        self.voice.read_call(reply)
    }

    fn read_error(&self, reply: &Reply) -> ProviderError {
        self.voice.read_error(reply)
    }
}

//! The Claude-style API of a large account: a ceiling far above a real one, and keys honoured or not.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline::providers::ClaudeVoice;
use trunkline::{
    Call, CallId, Idempotency, IdempotencyKey, Judge, NewCall, Profile, Provider, ProviderError, Rate,
};
use trunkline_core_types::{Operation, Reply, Verdict};

#[derive(Debug)]
pub(super) struct Large {
    voice: ClaudeVoice,
    profile: Profile,
}

impl Large {
    pub(super) fn new(base: &str, keyed: bool) -> Self {
        let voice = ClaudeVoice::new(base).unwrap();
        let mut profile = voice.profile().clone();
        profile.ceiling = Rate::per_second(NonZeroU32::MAX);
        if !keyed {
            profile.idempotency = Idempotency::No;
        }
        Self { voice, profile }
    }
}

impl Judge for Large {
    fn judge(&self, operation: Operation, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        self.voice.judge(operation, status, headers, body)
    }
}

impl Provider for Large {
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

//! A provider that knows no idempotency keys.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use trunkline::providers::ClaudeVoice;
use trunkline_core_types::{
    Call, CallId, Idempotency, IdempotencyKey, Judge, NewCall, Operation, Profile, Provider, ProviderError,
    Reply, Verdict,
};

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

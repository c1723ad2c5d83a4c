//! The suite over every provider of the table and over one that is not ours; and that each rule can be broken.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use trunkline_core_types::{
    AuthKind, BillingUnit, Call, CallEvent, CallId, CallStatus, Idempotency, IdempotencyKey, Judge, KeySet,
    Lookup, NewCall, Operation, Profile, Provider, ProviderError, ProviderErrorKind, Rate, Reply, Scope,
    Verdict, WebhookError, WebhookErrorKind,
};
use trunkline_providers::{all_profiles, conformance, provider_named};

#[test]
fn every_provider_of_the_table_passes() {
    for base_url in ["https://voice.example.com", "http://127.0.0.1:9000/prefix/v1/"] {
        for profile in all_profiles() {
            conformance::check(&*provider_named(profile.name, base_url).unwrap()).unwrap();
        }
    }
}

/// How a provider that is written badly breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    CountsItsCreates,
    DropsTheKey,
    LeavesItsOrigin,
    SignsItself,
    JudgesASuccess,
    DefersAFailure,
    SettlesACutConflict,
    RepeatsTheBody,
    PrintsWhatItSaw,
    FailsInsteadOfUnsupported,
    PlacesNothing,
    BelievesEverybody,
    RepeatsTheCallback,
}

/// A minimal provider: it creates, and nothing else.
struct Minimal {
    fault: Fault,
    profile: Profile,
    creates: AtomicU32,
}

impl Minimal {
    fn new(fault: Fault) -> Self {
        let rate = Rate::per_second(NonZeroU32::MIN);
        let mut profile = Profile::new("minimal", AuthKind::Basic, rate, rate, BillingUnit::Call);
        profile.idempotency = Idempotency::Key { window: Duration::from_secs(60) };
        Self { fault, profile, creates: AtomicU32::new(0) }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl fmt::Debug for Minimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is(Fault::PrintsWhatItSaw) { "Minimal(+14155550123)" } else { "Minimal" })
    }
}

impl Judge for Minimal {
    fn judge(&self, _: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Verdict {
        let whole = body.ends_with(b"}");
        match status.as_u16() {
            201 if self.is(Fault::JudgesASuccess) => Verdict::Rejected(Scope::Call),
            503 if self.is(Fault::DefersAFailure) => Verdict::Deferred(None),
            409 if self.is(Fault::SettlesACutConflict) && whole => Verdict::Ambiguous,
            _ => Verdict::AsStatus,
        }
    }
}

impl Provider for Minimal {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn origin(&self) -> &str {
        "https://minimal.example.com"
    }

    fn create(&self, call: &NewCall, key: &IdempotencyKey) -> Result<Request<Bytes>, ProviderError> {
        if self.is(Fault::PlacesNothing) {
            return Err(ProviderError::unsupported("placing a call"));
        }
        let mut body = call.to.expose();
        if !self.is(Fault::DropsTheKey) {
            body.push_str(key.as_str());
        }
        if self.is(Fault::CountsItsCreates) {
            body.push_str(&self.creates.fetch_add(1, Relaxed).to_string());
        }
        let mut request = Request::new(Bytes::from(body));
        let host = if self.is(Fault::LeavesItsOrigin) { "other" } else { "minimal" };
        *request.uri_mut() = format!("https://{host}.example.com/calls").parse().unwrap();
        if self.is(Fault::SignsItself) {
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic x"));
        }
        Ok(request)
    }

    fn lookup(&self, _: Lookup<'_>) -> Result<Request<Bytes>, ProviderError> {
        if self.is(Fault::FailsInsteadOfUnsupported) {
            return Err(ProviderError::new(ProviderErrorKind::Input, "no"));
        }
        Err(ProviderError::unsupported("looking a call up"))
    }

    fn read_call(&self, reply: &Reply) -> Result<Call, ProviderError> {
        let text = String::from_utf8_lossy(reply.body());
        let told = if self.is(Fault::RepeatsTheBody) { &*text } else { "not a call" };
        let id: Result<CallId, _> = text.parse();
        id.map(|id| Call::new(id, CallStatus::Queued))
            .map_err(|_| ProviderError::new(ProviderErrorKind::Unreadable, told))
    }

    fn webhook(
        &self,
        request: &Request<Bytes>,
        _: &KeySet,
        _: SystemTime,
    ) -> Result<CallEvent, WebhookError> {
        let call = Call::new("call_1".parse().unwrap(), CallStatus::Queued);
        match self.fault {
            Fault::BelievesEverybody => {
                let (id, at) = ("evt_1".parse().unwrap(), "2026-01-31T08:00:00Z".parse().unwrap());
                Ok(CallEvent::new(id, at, call))
            }
            Fault::RepeatsTheCallback => {
                let text = String::from_utf8_lossy(request.body());
                Err(WebhookError::new(WebhookErrorKind::Signature, text))
            }
            _ => Err(WebhookError::new(WebhookErrorKind::Unsupported, "no")),
        }
    }

    fn read_error(&self, reply: &Reply) -> ProviderError {
        ProviderError::new(ProviderErrorKind::Other, reply.status().as_str())
    }
}

#[test]
fn a_provider_of_somebody_else_passes() {
    conformance::check(&Minimal::new(Fault::None)).unwrap();
}

#[test]
fn every_fault_is_found_by_its_rule() {
    for (fault, rule) in [
        (Fault::CountsItsCreates, "same_bytes_twice"),
        (Fault::PlacesNothing, "same_bytes_twice"),
        (Fault::DropsTheKey, "key_travels"),
        (Fault::LeavesItsOrigin, "stays_on_its_origin"),
        (Fault::SignsItself, "carries_no_credentials"),
        (Fault::JudgesASuccess, "success_is_placed"),
        (Fault::DefersAFailure, "open_stays_open"),
        (Fault::SettlesACutConflict, "open_stays_open"),
        (Fault::RepeatsTheBody, "readers_survive_garbage"),
        (Fault::PrintsWhatItSaw, "prints_no_secret"),
        (Fault::FailsInsteadOfUnsupported, "unsupported_is_said"),
        (Fault::BelievesEverybody, "unsigned_callbacks_are_refused"),
        (Fault::RepeatsTheCallback, "unsigned_callbacks_are_refused"),
    ] {
        let found = conformance::check(&Minimal::new(fault)).unwrap_err();
        assert_eq!(found.rule(), rule, "{fault:?}: {found}");
    }
}

//! The copy of an attempt that is kept for a repeat. Most calls need none, so it is plain and the repeat pays.

use std::fmt;

use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::{Attempt, Terms};
use crate::{Deadline, Evidence, Idempotency, Operation, RepeatToken};

/// The copy kept for a repeat. It cannot be sent; see [`Spare::repeat`].
pub struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    /// Of a name with several values, all, in their order.
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
    body: Bytes,
    terms: Terms,
}

impl Spare {
    pub(super) fn of(request: &Request<Bytes>, terms: &Terms) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            extensions: request.extensions().clone(),
            body: request.body().clone(),
            terms: terms.clone(),
        }
    }

    /// The next attempt, with the next number, by the gate's word. Its deadline runs from the call's first permit.
    pub fn repeat(&mut self, token: RepeatToken) -> Attempt {
        token.spend();
        self.terms.number += 1;
        self.terms.evidence.renew();
        self.terms.evidence.note_number(self.terms.number);
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.iter().cloned().collect();
        *request.extensions_mut() = self.extensions.clone();
        #[cfg(trunkline_mutation)]
        if crate::Mutation::KeyChanged.is_on() {
            let key = self.terms.intent.as_ref().and_then(|it| format!("{}-2", it.key.as_str()).parse().ok());
            key.and_then(|key| request.headers_mut().insert("idempotency-key", key));
        }
        Attempt::of(request, self.terms.clone())
    }

    /// What it does.
    pub fn operation(&self) -> Operation {
        self.terms.operation
    }

    /// Why a repeat does not act twice, if so.
    pub fn idempotency(&self) -> Idempotency {
        self.terms.idempotency
    }

    /// Until when, resolved by the first permit if there was one.
    pub fn deadline(&self) -> Deadline {
        self.terms.deadline()
    }

    /// The request's extensions, where settings of one operation travel.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The call's report cell.
    pub fn evidence(&self) -> &Evidence {
        &self.terms.evidence
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare").field("number", &self.terms.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use http::header::{ACCEPT, COOKIE};

    use super::*;
    use crate::{Class, Clock, Decision, Question, SystemClock, gate};

    fn token(now: Instant) -> RepeatToken {
        let decision = gate(&Question {
            folded: Class::Unsent,
            last: Class::Unsent,
            operation: Operation::Read,
            idempotency: Idempotency::Natural,
            tries_left: true,
            budget_left: true,
            after: Duration::ZERO,
            now,
            first: now,
            deadline: now + Duration::from_secs(1),
        });
        let Decision::Now { token } = decision else { panic!("{decision:?}") };
        token
    }

    fn request() -> Request<Bytes> {
        let mut secret = HeaderValue::from_static("person=1");
        secret.set_sensitive(true);
        Request::put("https://voice.example.com/v1/calls?page=2")
            .version(Version::HTTP_10)
            .header("x-tag", "b")
            .header(COOKIE, secret)
            .header("x-tag", "a")
            .header(ACCEPT, "text/plain")
            .header("x-tag", "b")
            .extension("settings")
            .body(Bytes::from(b"body".to_vec()))
            .unwrap()
    }

    fn headers(request: &Request<Bytes>) -> Vec<(&str, &[u8], bool)> {
        let all = request.headers().iter();
        all.map(|(name, value)| (name.as_str(), value.as_bytes(), value.is_sensitive())).collect()
    }

    #[test]
    fn each_repeat_is_the_request_as_it_was_before_it_was_signed() {
        let clock = SystemClock::new();
        let (now, right) = (clock.now(), request());
        let later = now + Duration::from_secs(3600);
        let mut attempt = Attempt::read(request(), Deadline::At(later));
        let mut spare = attempt.spare();
        for number in 2..4 {
            // What limiter, signers and the leaf do to it.
            attempt.permit(later, later);
            attempt.request_mut().headers_mut().insert("x-tag", HeaderValue::from_static("signed"));
            attempt.take_request();
            attempt = spare.repeat(token(now));
            let repeat = attempt.request();
            assert_eq!((repeat.method(), repeat.uri()), (right.method(), right.uri()));
            assert_eq!((repeat.version(), repeat.body()), (right.version(), right.body()));
            assert_eq!(headers(repeat), headers(&right));
            assert_eq!(repeat.extensions().get(), Some(&"settings"));
            assert_eq!((attempt.number(), attempt.evidence().number()), (number, number));
            assert_eq!((attempt.start_by(), attempt.at(&clock) < later), (None, true));
        }
    }
}

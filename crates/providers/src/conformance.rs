//! What every provider must pass, ours or a user's. [`check`] runs all of it; each rule is a function of its own.
//!
//! ```
//! use trunkline_providers::{ClaudeVoice, conformance};
//!
//! let voice = ClaudeVoice::new("https://voice.example.com").unwrap();
//! conformance::check(&voice).unwrap();
//! ```

mod callbacks;
mod samples;

use std::fmt;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use trunkline_core_types::{
    Class, Idempotency, IdempotencyKey, InputError, Lookup, Operation, Origin, Provider, ProviderError,
    ProviderErrorKind, Reply, SeededEntropy, Verdict, class_of_reply,
};

pub use callbacks::unsigned_callbacks_are_refused;
use samples::{KEY, bodies, calls, class_of, creates, judged, noise, others, quiet};

/// How many random replies each reader gets.
const RANDOM_REPLIES: u64 = 500;
/// Headers that carry credentials, which are the signer's.
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-signature", "x-api-key", "x-auth-token"];

/// A rule that the provider breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    rule: &'static str,
    detail: String,
}

impl Violation {
    fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    /// The rule's name: that of its function in this module.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Violation {}

impl From<InputError> for Violation {
    fn from(error: InputError) -> Self {
        Self::new("samples", error.to_string())
    }
}

/// One rule over a provider.
type Rule = fn(&dyn Provider) -> Result<(), Violation>;

const RULES: [Rule; 10] = [
    same_bytes_twice,
    key_travels,
    stays_on_its_origin,
    carries_no_credentials,
    success_is_placed,
    open_stays_open,
    readers_survive_garbage,
    prints_no_secret,
    unsupported_is_said,
    unsigned_callbacks_are_refused,
];

/// Every rule, in order; the first that is broken.
///
/// # Errors
/// [`Violation`] with the rule and where it is broken.
pub fn check(provider: &dyn Provider) -> Result<(), Violation> {
    RULES.iter().try_for_each(|rule| rule(provider))
}

/// The same call under the same key is the same method, URL, headers and body. At least one sample call can be placed.
///
/// # Errors
/// [`Violation`] naming the sample.
pub fn same_bytes_twice(provider: &dyn Provider) -> Result<(), Violation> {
    let rule = "same_bytes_twice";
    let (first, second) = (creates(provider, KEY, rule)?, creates(provider, KEY, rule)?);
    let same = |(a, b): (&Request<Bytes>, &Request<Bytes>)| {
        a.method() == b.method() && a.uri() == b.uri() && a.headers() == b.headers() && a.body() == b.body()
    };
    match first.iter().zip(&second).position(|pair| !same(pair)) {
        None if first.len() == second.len() => Ok(()),
        at => Err(Violation::new(rule, format!("two creates of sample {} differ", at.unwrap_or(0)))),
    }
}

/// A provider that honours idempotency keys sends the call's key: another key is another request.
///
/// # Errors
/// [`Violation`] naming the sample.
pub fn key_travels(provider: &dyn Provider) -> Result<(), Violation> {
    let rule = "key_travels";
    if !matches!(provider.profile().idempotency, Idempotency::Key { .. }) {
        return Ok(());
    }
    let (first, second) = (creates(provider, KEY, rule)?, creates(provider, "another", rule)?);
    let same = |(a, b): (&Request<Bytes>, &Request<Bytes>)| {
        a.uri() == b.uri() && a.headers() == b.headers() && a.body() == b.body()
    };
    match first.iter().zip(&second).position(same) {
        None => Ok(()),
        Some(at) => Err(Violation::new(rule, format!("sample {at} under two keys is one request"))),
    }
}

/// The origin is scheme, host and port in their plain form, and every request goes there.
///
/// # Errors
/// [`Violation`] naming the request.
pub fn stays_on_its_origin(provider: &dyn Provider) -> Result<(), Violation> {
    let rule = "stays_on_its_origin";
    let origin: Origin = provider
        .origin()
        .parse()
        .map_err(|error: InputError| Violation::new(rule, format!("the origin is unusable: {error}")))?;
    if origin.to_string() != provider.origin() {
        return Err(Violation::new(rule, format!("the origin is not in its plain form {origin}")));
    }
    each_request(provider, rule, |request| origin.serves(request.uri()), "goes to another origin")
}

/// No request carries a credential, in a header or in its URL.
///
/// # Errors
/// [`Violation`] naming the request.
pub fn carries_no_credentials(provider: &dyn Provider) -> Result<(), Violation> {
    let clean = |request: &Request<Bytes>| {
        let user = request.uri().authority().is_some_and(|authority| authority.as_str().contains('@'));
        !user && !CREDENTIALS.iter().any(|name| request.headers().contains_key(*name))
    };
    each_request(provider, "carries_no_credentials", clean, "carries a credential")
}

/// The judge leaves every 2xx alone, whatever its body says: the call is placed.
///
/// # Errors
/// [`Violation`] naming status and operation.
pub fn success_is_placed(provider: &dyn Provider) -> Result<(), Violation> {
    each_verdict(provider, 200..300, |status, verdict| {
        let placed = class_of_reply(status, verdict).0 == Class::Accepted && verdict == Verdict::AsStatus;
        placed.then_some(()).ok_or(("success_is_placed", "is more than its status"))
    })
}

/// The judge never takes a reply other than a 4xx, or a 408, for a refusal or an invitation: the call may be ringing.
///
/// # Errors
/// [`Violation`] naming status and operation.
pub fn open_stays_open(provider: &dyn Provider) -> Result<(), Violation> {
    let open = |status: StatusCode, verdict: Verdict| {
        let told = !matches!(verdict, Verdict::Rejected(_) | Verdict::Deferred(_));
        let kept = told && class_of_reply(status, verdict).0 == Class::Ambiguous;
        kept.then_some(()).ok_or(("open_stays_open", "is taken for settled"))
    };
    each_verdict(provider, 300..400, open)?;
    each_verdict(provider, 408..409, open)?;
    each_verdict(provider, 500..600, open)?;
    cut_bodies_stay_open(provider)
}

/// A 4xx whose whole body leaves the outcome open leaves it open with a cut-off body too.
fn cut_bodies_stay_open(provider: &dyn Provider) -> Result<(), Violation> {
    for code in 400..500 {
        let class = |body: &[u8]| judged(provider, Operation::Create, code, body).map(class_of);
        for body in bodies() {
            let whole = class(&body)?;
            for end in 0..body.len() {
                if whole.may_have_acted() && !class(&body[..end])?.may_have_acted() {
                    let detail =
                        format!("a {code} cut at {end} of {} bytes is taken for settled", body.len());
                    return Err(Violation::new("open_stays_open", detail));
                }
            }
        }
    }
    Ok(())
}

/// No reply makes a reader or the judge panic, and no error about an unreadable reply repeats what was in it.
///
/// # Errors
/// [`Violation`] naming the reader.
pub fn readers_survive_garbage(provider: &dyn Provider) -> Result<(), Violation> {
    let random = SeededEntropy::new(0x7275_6e6b);
    let key: IdempotencyKey = KEY.parse()?;
    let noise = (0..RANDOM_REPLIES).map(|_| noise(&random));
    for body in bodies().into_iter().chain(noise) {
        for code in [200, 201, 302, 400, 401, 409, 429, 500, 529] {
            let (status, _) = judged(provider, Operation::Create, code, &body)?;
            let mut response = Response::new(Bytes::copy_from_slice(&body));
            *response.status_mut() = status;
            let reply = Reply::new(response);
            let errors = [
                provider.read_call(&reply).err(),
                provider.read_lookup(Lookup::Key(&key), &reply).err(),
                provider.read_page(Lookup::Key(&key), &reply).err(),
                Some(provider.read_error(&reply)),
            ];
            for (error, reader) in
                errors.into_iter().zip(["read_call", "read_lookup", "read_page", "read_error"])
            {
                let shown = error.map(|error| format!("{error} {error:?}")).unwrap_or_default();
                quiet("readers_survive_garbage", reader, &shown)?;
            }
        }
    }
    Ok(())
}

/// `Debug` of the provider, of a create's headers and of every error shows no number, text or key.
///
/// # Errors
/// [`Violation`] naming what prints it.
pub fn prints_no_secret(provider: &dyn Provider) -> Result<(), Violation> {
    let rule = "prints_no_secret";
    let key: IdempotencyKey = KEY.parse()?;
    for call in calls()? {
        match provider.create(&call, &key) {
            Ok(request) => quiet(rule, "headers of a create", &format!("{:?}", request.headers()))?,
            Err(error) => quiet(rule, "error of a create", &format!("{error} {error:?}"))?,
        }
    }
    // Last, so that a provider that keeps what it saw is seen.
    quiet(rule, "provider", &format!("{provider:?}"))
}

/// What the provider cannot do answers `Unsupported`, on the request and, for a look-up, on its reader alike.
///
/// # Errors
/// [`Violation`] naming the request.
pub fn unsupported_is_said(provider: &dyn Provider) -> Result<(), Violation> {
    let rule = "unsupported_is_said";
    let unsupported = |error: &ProviderError| error.kind() == ProviderErrorKind::Unsupported;
    for (name, made) in others(provider)? {
        if made.is_err_and(|error| !unsupported(&error)) {
            return Err(Violation::new(rule, format!("{name} fails and does not say Unsupported")));
        }
    }
    let key: IdempotencyKey = KEY.parse()?;
    let asked = provider.lookup(Lookup::Key(&key)).is_err_and(|error| unsupported(&error));
    let read = provider.read_lookup(Lookup::Key(&key), &Reply::new(Response::new(Bytes::new())));
    if asked != read.is_err_and(|error| unsupported(&error)) {
        return Err(Violation::new(rule, "lookup and read_lookup disagree"));
    }
    Ok(())
}

fn each_request(
    provider: &dyn Provider,
    rule: &'static str,
    good: impl Fn(&Request<Bytes>) -> bool,
    problem: &str,
) -> Result<(), Violation> {
    let creates = creates(provider, KEY, rule)?.into_iter().map(|request| ("create", request));
    let others = others(provider)?.into_iter().filter_map(|(name, made)| Some((name, made.ok()?)));
    match creates.chain(others).find(|(_, request)| !good(request)) {
        Some((name, _)) => Err(Violation::new(rule, format!("{name} {problem}"))),
        None => Ok(()),
    }
}

fn each_verdict(
    provider: &dyn Provider,
    codes: std::ops::Range<u16>,
    good: impl Fn(StatusCode, Verdict) -> Result<(), (&'static str, &'static str)>,
) -> Result<(), Violation> {
    for code in codes {
        for operation in Operation::ALL {
            for body in bodies() {
                let (status, verdict) = judged(provider, operation, code, &body)?;
                let named =
                    |(rule, problem)| Violation::new(rule, format!("a {code} to a {operation:?} {problem}"));
                good(status, verdict).map_err(named)?;
            }
        }
    }
    Ok(())
}

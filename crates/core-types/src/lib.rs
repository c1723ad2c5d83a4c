//! Trunkline's words, seams and pure rules: what every other crate agrees on.
//!
//! Here are the outcome classes and their fold, the retry gate, the checked types of telephony, and the traits through which the
//! layers meet. This crate never does I/O, has no globals and no runtime; the machine's clock and random numbers are behind the
//! feature `system`, off by default.
//!
//! ```
//! use trunkline_core_types::{Class, NewCall, Scope};
//!
//! // A refusal of the repeat proves nothing about the first attempt.
//! assert_eq!(Class::Ambiguous.fold(Class::Rejected(Scope::Call)), Class::Ambiguous);
//!
//! let call = NewCall::say("+14155550123", "Your code is 8 4 2 1")?;
//! assert_eq!(format!("{}", call.to), "+*********23");
//! # Ok::<(), trunkline_core_types::InputError>(())
//! ```
//!
//! Features: `http` (attempt, service, signer, judge, journal) and `voice` (numbers, calls, money, provider), both default; without
//! them only clock, keys, pace and observer remain.

mod class;
mod clock;
mod ids;
mod input;
mod keys;
#[cfg(trunkline_mutation)]
mod mutation;
mod observer;
mod pace;
mod source;
#[cfg(feature = "system")]
mod system;

#[cfg(feature = "http")]
mod attempt;
#[cfg(feature = "http")]
mod evidence;
#[cfg(feature = "http")]
mod gate;
#[cfg(feature = "http")]
mod http_date;
#[cfg(feature = "http")]
mod journal;
#[cfg(feature = "http")]
mod judge;
#[cfg(feature = "http")]
mod mac;
#[cfg(feature = "http")]
mod origin;
#[cfg(feature = "http")]
mod outcome;
#[cfg(feature = "http")]
mod reply;
#[cfg(feature = "http")]
mod service;
#[cfg(feature = "http")]
mod sync;

#[cfg(feature = "voice")]
mod call;
#[cfg(feature = "voice")]
mod calls;
#[cfg(feature = "voice")]
mod e164;
#[cfg(feature = "voice")]
mod event;
#[cfg(feature = "voice")]
mod money;
#[cfg(feature = "voice")]
mod provider;
#[cfg(feature = "voice")]
mod speech;
#[cfg(feature = "voice")]
mod time;

pub use class::{Class, Operation, Scope};
pub use clock::{Clock, ClockExt, Entropy, EntropyExt, SeededEntropy};
pub use ids::{AccountId, IdempotencyKey};
pub use input::InputError;
pub use keys::{Key, KeyError, KeyErrorKind, KeyProvider, KeySet};
#[cfg(trunkline_mutation)]
#[doc(hidden)]
pub use mutation::{Mutation, VARIABLE};
pub use observer::{BreakerState, Fact, Observer, Unobserved};
pub use pace::{Ask, Denied, DeniedKind, Lane, Leases, Pacer, Permit, Rate, RateError, Signal, Slot};
pub use source::Source;
#[cfg(feature = "test-util")]
pub use system::VirtualClock;
#[cfg(feature = "system")]
pub use system::{SystemClock, SystemEntropy};

#[cfg(feature = "http")]
pub use {
    attempt::{Attempt, Deadline, Idempotency, Intent, Spare},
    evidence::{Evidence, Progress},
    gate::{Decision, Question, RepeatToken, gate},
    journal::{AttemptJournal, Claim, JournalError, JournalErrorKind},
    judge::{Judge, StatusOnly, Verdict, class_of_reply, retry_after},
    mac::MacKey,
    origin::{Origin, is_loopback},
    outcome::{AttemptError, FailureKind, Outcome},
    reply::Reply,
    service::{HttpService, Sign},
};

#[cfg(feature = "voice")]
pub use {
    call::{Call, CallId, CallRef, CallStatus, NewCall, Speech, Tags},
    calls::{CallJournal, Heard},
    e164::E164,
    event::{CallEvent, CallState, EventId, WebhookError, WebhookErrorKind},
    money::{Currency, Money},
    provider::{AuthKind, BillingUnit, Lookup, Page, Profile, Provider, ProviderError, ProviderErrorKind},
    speech::{SpokenText, WebUrl},
    time::Timestamp,
};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

//! Words, seams and pure rules.

mod class;
mod clock;
mod ids;
mod input;
mod keys;
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
mod journal;
#[cfg(feature = "http")]
mod judge;
#[cfg(feature = "http")]
mod mac;
#[cfg(feature = "http")]
mod outcome;
#[cfg(feature = "http")]
mod reply;
#[cfg(feature = "http")]
mod service;

pub use class::{Class, Operation, Scope};
pub use clock::{Clock, Entropy, EntropyExt, SeededEntropy};
pub use ids::{AccountId, IdempotencyKey};
pub use input::InputError;
pub use keys::{Key, KeyError, KeyErrorKind, KeyProvider, KeySet};
pub use observer::{Fact, Observer, Unobserved};
pub use pace::{Ask, Denied, DeniedKind, Lane, Leases, Pacer, Permit, Rate, RateError, Signal, Slot};
pub use source::Source;
#[cfg(feature = "test-util")]
pub use system::VirtualClock;
#[cfg(feature = "system")]
pub use system::{SystemClock, SystemEntropy};

#[cfg(feature = "http")]
pub use {
    attempt::{Attempt, Deadline, Idempotency, Intent, Spare},
    evidence::Evidence,
    gate::{Decision, Question, RepeatToken, gate},
    journal::{AttemptJournal, Claim, JournalError, JournalErrorKind},
    judge::{Judge, StatusOnly, Verdict, class_of_reply, retry_after},
    mac::MacKey,
    outcome::{AttemptError, FailureKind, Outcome},
    reply::Reply,
    service::{HttpService, Sign},
};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

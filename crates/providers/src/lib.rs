//! Voice APIs as pure functions: a neutral call to a provider's request, a provider's reply to a neutral call.
//!
//! Here is the Claude-style JSON voice API ([`ClaudeVoice`]), the table of all providers by name, and, with the feature `test-util`,
//! the suite that every provider must pass. This crate never does I/O, never holds a credential and never reads a clock: requests
//! leave it unsigned, and the same call under the same key is the same bytes every time.
//!
//! ```
//! use trunkline_core_types::{IdempotencyKey, NewCall, Provider};
//! use trunkline_providers::ClaudeVoice;
//!
//! let voice = ClaudeVoice::new("https://voice.example.com/v1")?;
//! let call = NewCall::say("+14155550123", "Your table is ready.")?;
//! let key: IdempotencyKey = "order-17".parse()?;
//! let request = voice.create(&call, &key)?;
//! assert_eq!(request.uri(), "https://voice.example.com/v1/calls");
//! assert_eq!(
//!     request.body(),
//!     &br#"{"to":"+14155550123","tts":"Your table is ready.","retry_policy":"flexible"}"#[..],
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claude;
#[cfg(feature = "test-util")]
pub mod conformance;
mod json;
mod table;

pub use claude::ClaudeVoice;
pub use table::{all_profiles, provider_named};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

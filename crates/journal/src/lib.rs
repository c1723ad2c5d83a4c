//! Attempt journal: who was claimed, tried and settled, so that nobody is rung twice.
//!
//! [`MemoryJournal`] keeps it in this process; `SqliteJournal` (feature `sqlite`) in a file, durable before the first byte; with the
//! feature `test-util` the module `conformance` holds the suite that every store must pass, a user's own included. A journal never talks to a provider, never decides what is dialled and never prints a
//! phone number: its `Debug` shows counts.
//!
//! ```
//! use std::{sync::Arc, time::{Duration, SystemTime}};
//! use trunkline_core_types::{AttemptJournal, Claim, Class, Intent, SystemClock};
//! use trunkline_journal::MemoryJournal;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = MemoryJournal::new(Arc::new(SystemClock::new()));
//! let intent = Arc::new(Intent {
//!     key: "order-17".parse()?,
//!     account: "main".parse()?,
//!     detail: "what is to be placed".into(),
//!     fence: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
//! });
//!
//! assert_eq!(journal.claim(&intent).await?, Claim::Go { number: 1 });
//! journal.begin(&intent, 1).await?; // before the first byte
//! journal.end(&intent.key, 1, Class::Accepted, Some("the reply".into()))?;
//!
//! // The same key again rings nobody: it gets the old answer.
//! let again = journal.claim(&intent).await?;
//! assert_eq!(again, Claim::Settled(Class::Accepted, Some("the reply".into())));
//! # Ok(())
//! # }
//! ```

mod life;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sync;

#[cfg(feature = "test-util")]
pub mod conformance;

pub use memory::{MemoryCalls, MemoryJournal};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    JournalOpenError, JournalOpenErrorKind, JournalStatus, JournalView, SqliteJournal, SqliteSettings,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

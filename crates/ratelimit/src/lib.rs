//! Pacing: at most so many starts per period, handed out as permits that are a moment, and counted leases.
//!
//! [`LocalPacer`] paces one process: callers wait in order in two lanes, each with its own deadline; a refusal says how long to wait, and
//! nothing polls. [`LocalLeases`] counts what lasts (live sessions, lines). [`Gcra`] is the arithmetic alone. What no one here ever does: exceed
//! the stated bound, catch up idle time, spawn a task, read a clock that was not handed in, or do I/O.
//!
//! ```
//! use std::{num::NonZeroU32, sync::Arc, time::Duration};
//! use trunkline_core_types::{Ask, Clock, Pacer, Rate, SystemClock};
//! use trunkline_ratelimit::LocalPacerSettings;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = SystemClock::new();
//! let twenty = Rate::per_second(NonZeroU32::new(20).ok_or("zero")?);
//! let pacer = LocalPacerSettings::new(twenty, Arc::new(clock)).build()?;
//!
//! let permit = pacer.acquire(Ask::one(clock.now() + Duration::from_secs(5))).await?;
//! if clock.now() <= permit.start_by() {
//!     // The first byte leaves here.
//!     permit.spend();
//! }
//!
//! // The next slot is 50 ms away: who cannot wait that long hears it at once.
//! let refused = pacer.acquire(Ask::one(clock.now() + Duration::from_millis(10))).await.unwrap_err();
//! assert_eq!(refused.wait, Some(Duration::from_millis(50)));
//! # Ok(())
//! # }
//! ```

mod cubic;
mod error;
mod gcra;
mod leases;
mod local;
#[cfg(test)]
#[cfg(trunkline_loom)]
mod model;
mod settings;
mod sync;
mod unlimited;

pub use cubic::Cubic;
pub use error::{Error, ErrorKind};
pub use gcra::{Decision, Gcra, Grant};
pub use leases::LocalLeases;
pub use local::{LocalPacer, Snapshot};
pub use settings::LocalPacerSettings;
pub use unlimited::UnlimitedPacer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! A voice API on loopback with a book of who was rung: for tests, demos, and as the judge of a client.
//!
//! It is a real HTTP/1.1 server that speaks the Claude-style JSON voice API (`docs/claude-voice-api.md` in the
//! workspace), with that page as its only source: API keys, signatures, idempotency keys, pace, look-ups, listings,
//! hang-ups and callbacks. It goes wrong on purpose where a client must survive it.
//!
//! It never shares a wire type with the clients it judges, never rings a real phone, never leaves the machine, and
//! never writes a number or a key to a log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use trunkline_simulator::{Fault, Faults, Simulator};
//!
//! let simulator = Simulator::builder().faults(Faults::some()).seed(7).start().await?;
//! simulator.fault_next(Fault::ResetAfterActing);
//! println!("POST {}/v1/calls with Bearer {}", simulator.base_url(), simulator.api_key());
//!
//! // ... run the client under test ...
//!
//! assert_eq!(simulator.book().duplicates, 0);
//! assert_eq!(simulator.book().pace_violations, 0);
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod simulator;

mod builder;
mod error;

mod server;

mod account;
mod api;
mod draft;
mod query;
mod reply;
mod signature;

mod book;
mod callbacks;
mod calls;
mod faults;
mod keys;
mod pace;

pub use book::{Book, BookedCall};
pub use builder::SimulatorBuilder;
pub use callbacks::{CallbackFault, CallbackFaults};
pub use calls::CallLife;
pub use error::{StartError, StartErrorKind};
pub use faults::{Fault, Faults};
pub use simulator::Simulator;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

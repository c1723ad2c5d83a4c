//! Fuzz targets over everything that Trunkline reads from others. Each module is one target: `check` takes bytes, does what the product
//! would do with them, and asserts what must hold. An input is text where it can be: lines first, then the body, so that seeds are
//! written by hand and a finding can be read.

// What the command line says of a problem.
#[allow(dead_code, reason = "problems of settings alone are made here")]
#[path = "../../crates/cli/src/exit.rs"]
mod exit;
mod input;
mod journal_file;
mod quiet;
mod wire;

pub mod callback;
pub mod exchange;
pub mod heard_rows;
pub mod journal_rows;
pub mod listing;
pub mod proxy;
pub mod record;
pub mod reply;
pub mod retry_after;
pub mod rows;
pub mod settings_file;
pub mod signature;
pub mod words;

#[cfg(test)]
mod replay;

//! Fuzz targets over everything that Trunkline reads from others. Each module is one target: `check` takes bytes, does what the product
//! would do with them, and asserts what must hold. An input is text where it can be: lines first, then the body, so that seeds are
//! written by hand and a finding can be read.

mod input;
mod quiet;
mod wire;

pub mod callback;
pub mod exchange;
pub mod journal_rows;
pub mod listing;
pub mod proxy;
pub mod record;
pub mod reply;
pub mod retry_after;
pub mod rows;
pub mod signature;
pub mod words;

#[cfg(test)]
mod replay;

//! Helpers of the cross-crate scenarios: the real servers that `cargo xtask test` started, spoken to without any client of ours.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod end;
mod scrape;
pub mod simulation;
pub mod threads;
mod vault;

pub use scrape::scrape;
pub use vault::{Admin, OwnVault};

/// A variable of `cargo xtask test`.
///
/// # Panics
/// Without it: a missing server fails a test, it is never skipped.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run cargo xtask test"))
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

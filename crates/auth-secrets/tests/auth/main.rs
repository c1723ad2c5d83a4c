//! Public behaviour: local stores, signers, cache, Vault against a scripted server, and that nothing prints a key.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod cache;
mod local;
mod signers;
mod support;
#[cfg(feature = "vault")]
mod vault;
mod vectors;

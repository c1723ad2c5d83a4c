//! Public behaviour: local stores, signers, cache, Vault against a scripted server, and that nothing prints a key.

mod local;
mod signers;
mod support;
mod vectors;

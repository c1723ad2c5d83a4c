//! The journal on SQLite: conformance, restarts, kills, and files that are not as they should be.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conforms;
mod drops;
mod files;
mod full;
mod heard;
mod kill;
#[cfg(target_os = "linux")]
mod locks;
mod looks;
mod retention;
mod support;

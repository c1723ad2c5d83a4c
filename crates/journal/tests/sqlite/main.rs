//! The journal on SQLite: conformance, restarts, kills, and files that are not as they should be.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conforms;
mod support;

//! Pacing.

mod gcra;

pub use gcra::{Decision, Gcra, Grant};

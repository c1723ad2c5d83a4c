//! Helpers of the cross-crate scenarios.

//! No pace at all, as a choice that is written down.

use trunkline_core_types::{Ask, BoxFuture, Denied, Pacer, Permit, Signal};

/// Permits everybody at once and forgets throttles: for tests, and for requests that nobody counts.
///
/// A permit may start until the deadline it was asked with. Never use it where the other side counts.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct UnlimitedPacer {}

impl UnlimitedPacer {
    /// The pacer; it holds nothing.
    pub fn new() -> Self {
        Self {}
    }
}

#[deny(clippy::missing_trait_methods)]
impl Pacer for UnlimitedPacer {
    fn acquire(&self, ask: Ask) -> BoxFuture<'_, Result<Permit, Denied>> {
        Box::pin(std::future::ready(Ok(Permit::new(ask.deadline, None))))
    }

    fn acquire_at_once(&self, ask: Ask) -> Option<Result<Permit, Denied>> {
        Some(Ok(Permit::new(ask.deadline, None)))
    }

    fn feedback(&self, _signal: Signal) {}
}

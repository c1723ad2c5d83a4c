//! The caller's own word before a call is claimed: consent, do-not-call lists, calling hours.

use std::fmt::Debug;

use trunkline_core_types::{BoxFuture, NewCall};

/// Asked once per call, before the journal claims it. See [`ClientBuilder::on_dial`](crate::ClientBuilder::on_dial).
pub trait DialCheck: Debug + Send + Sync + 'static {
    /// `Err` with the reason ends the call as not allowed; nothing is noted and nobody is rung. The reason must not name a number.
    fn allow<'a>(&'a self, call: &'a NewCall) -> BoxFuture<'a, Result<(), String>>;
}

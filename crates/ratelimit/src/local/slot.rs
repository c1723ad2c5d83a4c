//! The pacer's side of a permit.

use std::sync::Arc;

use trunkline_core_types::Slot;

use super::Inner;
use crate::Grant;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) pacer: Arc<Inner>,
    pub(super) grant: Grant,
}

impl Slot for Held {
    fn spent(self: Box<Self>) {
        self.pacer.end(self.grant, false);
    }

    fn given_back(self: Box<Self>) {
        self.pacer.end(self.grant, true);
    }
}

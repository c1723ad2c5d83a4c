//! Where the events go.

use trunkline::Webhooks;

use super::Load;
use crate::simulation::callbacks::{Receivers, Rung};
use crate::simulation::lives::Step;

/// The web server that takes the events.
pub(super) struct Web<'a> {
    pub(super) webhooks: Webhooks,
    pub(super) load: &'a Load<'a>,
}

impl Receivers for Web<'_> {
    fn next(&self) -> Option<(u32, Webhooks)> {
        Some((0, self.webhooks.clone()))
    }

    fn taken(&self, call: &Rung, step: Step) {
        let world = self.load.world;
        world.log.note(u64::from(step.rank()));
        world.log.tell("event", Some(&call.key), || format!("{} is taken", step.status));
        if step.rank() == 4 {
            world.lease_ends(call);
        }
        self.load.proven.lock().unwrap().push(call.key.clone());
    }

    fn wrong(&self, key: &str, problem: String) {
        self.load.world.wrong(Some(key), problem);
    }
}

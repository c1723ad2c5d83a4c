//! The events of a call, in the order in which they happen, as they travel.

use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use trunkline_core_types::Entropy;

use super::deliver::Target;
use crate::calls::{Call, CallLife, CallView, Calls, Progress, moment};

/// One event of one call, the same bytes at every send.
#[derive(Debug)]
pub(crate) struct Event {
    /// The call's place in the order of creation.
    pub(crate) call: usize,
    pub(crate) target: Target,
    pub(crate) body: Bytes,
    pub(crate) made: Instant,
}

#[derive(Serialize)]
struct EventView<'a> {
    event_id: String,
    created: String,
    #[serde(rename = "type")]
    kind: String,
    call: CallView<'a>,
}

/// What is to be told of a call since the last look, and when to look again; `None` for a call that nobody wants to hear of.
pub(super) fn news(
    calls: &mut Calls,
    life: &CallLife,
    index: usize,
    now: Instant,
    entropy: &dyn Entropy,
) -> Option<(Vec<Event>, Option<Instant>)> {
    let call = calls.at(index)?;
    let target = call.target.clone()?;
    let progress = call.progress(life, now);
    let told = call.told;
    let steps = steps(call, life, &progress);
    let fresh = steps.iter().filter(|step| step.rank > told);
    let events = fresh.clone().filter_map(|step| {
        let body = body(call, index, step, entropy)?;
        Some(Event { call: index, target: target.clone(), body, made: now })
    });
    let events = events.collect();
    let told = fresh.map(|step| step.rank).max().unwrap_or(told);
    let next = call.next_step(life, now).and_then(|age| call.placed.checked_add(age));
    calls.tell(index, told);
    Some((events, next.filter(|_| progress.ended.is_none())))
}

struct Step {
    rank: u8,
    at: Progress,
}

/// The steps that began so far. One that was over in the moment in which it began is skipped.
fn steps(call: &Call, life: &CallLife, now: &Progress) -> Vec<Step> {
    let begun = [Some(std::time::Duration::ZERO), now.ringing, now.answered, now.ended];
    let begun = (1u8..).zip(begun).filter_map(|(rank, age)| Some((rank, age?)));
    let steps = begun.map(|(rank, age)| Step { rank, at: call.progress_at(life, age) });
    steps.filter(|step| step.at.rank() == step.rank).collect()
}

fn body(call: &Call, index: usize, step: &Step, entropy: &dyn Entropy) -> Option<Bytes> {
    let view = EventView {
        event_id: format!("evt_{index:x}_{}_{:08x}", step.rank, entropy.next() >> 32),
        created: moment(call.created, step.at.until),
        kind: format!("call.{}", step.at.status),
        call: CallView::new(call, step.at).without_people(),
    };
    serde_json::to_vec(&view).ok().map(Bytes::from)
}

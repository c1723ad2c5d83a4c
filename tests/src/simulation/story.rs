//! The story of a call: what happened, when, and who did it, as a table.

use std::fmt;
use std::time::Duration;

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the start of the run.
    pub at: Duration,
    /// Who did it.
    pub who: &'static str,
    /// Of which call, if of one.
    pub key: Option<String>,
    /// What was done.
    pub what: String,
}

/// Who writes the bytes of a request.
pub(super) const WIRE: &str = "wire";
/// Who reads those of a reply.
pub(super) const READ: &str = "reply";

/// Everything that happened in a run, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story(pub Vec<Event>);

impl Story {
    /// Adds a line; of writes, or reads, that follow each other at once only the last one stays.
    pub(super) fn add(&mut self, event: Event) {
        let same = |last: &Event| last.at == event.at && last.key == event.key && last.who == event.who;
        match self.0.last_mut().filter(|last| [WIRE, READ].contains(&event.who) && same(last)) {
            Some(last) => *last = event,
            None => self.0.push(event),
        }
    }

    /// Only up to a moment.
    pub(super) fn until(&mut self, end: Duration) {
        self.0.retain(|event| event.at <= end);
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = |length: fn(&Event) -> usize| self.0.iter().map(length).max().unwrap_or(0);
        let who = wide(|event| event.who.len()).max(3);
        let key = wide(|event| event.key.as_ref().map_or(1, String::len)).max(4);
        writeln!(f, "{:>12}  {:who$}  {:key$}  what", "seconds", "who", "call")?;
        for event in &self.0 {
            let (at, of) = (event.at.as_secs_f64(), event.key.as_deref().unwrap_or("-"));
            writeln!(f, "{at:>12.6}  {:who$}  {of:key$}  {}", event.who, event.what)?;
        }
        Ok(())
    }
}

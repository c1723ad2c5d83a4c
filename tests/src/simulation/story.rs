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

/// Everything that happened in a run, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story(pub Vec<Event>);

impl Story {
    /// Only what is about these calls, or about none.
    #[must_use]
    pub fn about(mut self, keys: &[String]) -> Self {
        self.0.retain(|event| event.key.as_ref().is_none_or(|key| keys.contains(key)));
        self
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

//! The line on a terminal while a batch is placed.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trunkline::batch::{BatchRun, RowClass};

use crate::out::Out;

/// A bar over the file's bytes with rate, time left and outcomes on standard error, if that is a terminal. It has no colours.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// When the rate was taken last, and at how many calls.
    since: (Instant, u64),
    rate: f64,
}

const TEMPLATE: &str = "{bar:30} {percent}%  {eta} left  {msg}";
/// Over which time the rate is taken.
const WINDOW: Duration = Duration::from_secs(1);

impl Progress {
    pub(super) fn new(bytes: u64, now: Instant) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).ok().filter(|_| stderr().is_terminal());
        let bar = style.map(|style| {
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            bar.with_style(style.progress_chars("=> "))
        });
        Self { bar, since: (now, 0), rate: 0.0 }
    }

    pub(super) fn show(&mut self, run: &BatchRun, now: Instant) {
        let Some(bar) = &self.bar else { return };
        let tally = run.tally();
        let placed = tally.count(RowClass::Placed);
        let passed = now.saturating_duration_since(self.since.0);
        if passed >= WINDOW {
            self.rate = (placed - self.since.1) as f64 / passed.as_secs_f64();
            self.since = (now, placed);
        }
        bar.set_position(run.position());
        let seen = RowClass::ALL.into_iter().filter(|class| tally.count(*class) > 0);
        let mix: Vec<_> = seen.map(|class| format!("{} {}", class.as_str(), tally.count(class))).collect();
        bar.set_message(format!("{:.1} calls/s  {}", self.rate, mix.join("  ")));
    }

    /// A line of its own.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| Out::stderr().text(line)),
            None => Out::stderr().text(line),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

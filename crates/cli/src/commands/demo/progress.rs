//! The line on a terminal while calls are placed.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ledger::Ledger;

/// A bar with rate, time left and outcomes on standard error, if that is a terminal. It has no colours.
pub(super) struct Progress(Option<ProgressBar>);

const TEMPLATE: &str = "{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}";

impl Progress {
    pub(super) fn new(calls: usize) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).ok().filter(|_| stderr().is_terminal());
        Self(style.map(|style| {
            let bar = ProgressBar::with_draw_target(Some(calls as u64), ProgressDrawTarget::stderr());
            bar.with_style(style.progress_chars("=> "))
        }))
    }

    pub(super) fn show(&self, ledger: &Ledger) {
        let Some(bar) = &self.0 else { return };
        let counts = ledger.counts();
        bar.set_position(ledger.ended() as u64);
        bar.set_message(format!(
            "placed {}  rejected {}  unsent {}",
            counts.placed, counts.rejected, counts.unsent
        ));
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

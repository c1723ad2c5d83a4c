//! Both books side by side, for people and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_simulator::Book;

use super::keep::Seen;
use super::ledger::Ledger;
use crate::render::{Times, pairs, table};

/// Everything the report is made of.
pub(super) struct Report<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) book: &'a Book,
    pub(super) seen: Seen,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

/// The object of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct ReportJson {
    calls: usize,
    placed: usize,
    rejected: usize,
    unsent: usize,
    /// Still open at the end.
    ambiguous: usize,
    /// Ambiguous ones that the reconciler settled.
    reconciled: usize,
    duplicates: u64,
    pace_violations: u64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    cost: BTreeMap<String, String>,
}

impl Report<'_> {
    pub(super) fn to_json(&self) -> ReportJson {
        let (counts, times) = (self.ledger.counts(), self.times());
        let cost = self.ledger.cost().map(|sum| (sum.currency().to_string(), sum.amount()));
        ReportJson {
            calls: counts.calls,
            placed: counts.placed,
            rejected: counts.rejected,
            unsent: counts.unsent,
            ambiguous: counts.ambiguous,
            reconciled: self.ledger.reconciled(),
            duplicates: self.book.duplicates,
            pace_violations: self.book.pace_violations,
            seconds: (self.seconds * 1000.0).round() / 1000.0,
            p50_ms: times.quantile_ms(0.5),
            p99_ms: times.quantile_ms(0.99),
            cost: cost.collect(),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let times = self.times();
        let summary = pairs(&[
            ("p50", format!("{:.1} ms", times.quantile_ms(0.5))),
            ("p99", format!("{:.1} ms", times.quantile_ms(0.99))),
            ("cost", self.cost()),
            ("seconds", format!("{:.2}", self.seconds)),
            ("seed", self.seed.to_string()),
        ]);
        format!("{}\n\nTime of each attempt\n{}\n\n{summary}", self.books(), times.histogram())
    }

    fn cost(&self) -> String {
        let sums: Vec<_> = self.ledger.cost().map(|sum| sum.to_string()).collect();
        let sum = if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") };
        match self.ledger.unpriced() {
            0 => sum,
            n => format!("{sum}, without {n} placed calls whose answer was cut off"),
        }
    }

    fn times(&self) -> Times {
        Times::new(self.seen.attempts.clone())
    }

    fn books(&self) -> String {
        let (counts, book, seen) = (self.ledger.counts(), self.book, &self.seen);
        let mut rows = vec![
            row("calls", counts.calls, "-"),
            row("placed | rung", counts.placed, book.calls),
            row("rejected", counts.rejected, "-"),
            row("unsent", counts.unsent, "-"),
            row("ambiguous", counts.ambiguous, "-"),
            row("reconciled", self.ledger.reconciled(), "-"),
            row("attempts | creates", seen.attempts.len(), book.creates),
            row("retries | replays", seen.retries, book.replays),
            row("duplicates", "-", book.duplicates),
            row("pace violations", "-", book.pace_violations),
            row("signatures verified", "-", book.signatures_verified),
            row("throttled", seen.throttles, "-"),
            row("late permits", seen.late_permits, "-"),
            row("stale connections", seen.stale_connections, "-"),
        ];
        rows.extend(book.faults.iter().map(|(name, count)| row(&format!("fault {name}"), "-", count)));
        table(&["", "our book", "simulator's book"], rows)
    }
}

fn row(name: &str, ours: impl ToString, theirs: impl ToString) -> Vec<String> {
    vec![name.to_owned(), ours.to_string(), theirs.to_string()]
}

//! Tables, aligned pairs and the histogram, without colours.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// A table; a column whose cells are all numbers is aligned to the right.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(head.iter().copied());
    let numeric: Vec<bool> = (0..head.len())
        .map(|at| rows.iter().all(|row| row.get(at).is_none_or(|cell| is_number(cell))))
        .collect();
    for row in rows {
        table.add_row(row);
    }
    for (column, numeric) in table.column_iter_mut().zip(numeric) {
        if numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// One `name  value` line each, the values in one column.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> = pairs.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

/// Upper ends of the buckets, in milliseconds: 1, 2 and 5 of each power of ten.
const ENDS: [u64; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000];
const BAR: usize = 40;

/// Measured times, sorted.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share of all did not exceed (nearest rank), in milliseconds with three decimals; 0 if there are none.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        let time = self.0.get(rank.saturating_sub(1)).or(self.0.last());
        time.map_or(0.0, |time| time.as_micros() as f64 / 1000.0)
    }

    /// One line per bucket from the first that holds something to the last.
    pub(crate) fn histogram(&self) -> String {
        let counts = self.buckets();
        let most = counts.iter().max().copied().unwrap_or(0).max(1);
        let (Some(first), Some(last)) =
            (counts.iter().position(|&n| n > 0), counts.iter().rposition(|&n| n > 0))
        else {
            return "nothing was measured".to_owned();
        };
        let line = |at: usize| {
            let count = counts[at];
            // A bucket that holds something shows at least one mark.
            let marks = "#".repeat((count * BAR).div_ceil(most));
            let end = ENDS.get(at).map_or_else(|| "  more".to_owned(), |end| format!("{end:>6}"));
            format!("<= {end} ms  {marks:BAR$}  {count}")
        };
        (first..=last).map(line).collect::<Vec<_>>().join("\n")
    }

    fn buckets(&self) -> [usize; ENDS.len() + 1] {
        let mut counts = [0; ENDS.len() + 1];
        for time in &self.0 {
            let at = ENDS.partition_point(|&end| Duration::from_millis(end) < *time);
            counts[at] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: &[u64]) -> Times {
        Times::new(millis.iter().copied().map(Duration::from_millis).collect())
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let hundred = times(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!([0.5, 0.99, 1.0].map(|share| hundred.quantile_ms(share)), [50.0, 99.0, 100.0]);
        assert_eq!(times(&[7]).quantile_ms(0.5), 7.0);
        assert_eq!(times(&[]).quantile_ms(0.99), 0.0);
    }

    #[test]
    fn a_bucket_holds_its_upper_end() {
        let counts = times(&[1, 2, 3, 5, 50_000, 50_001]).buckets();
        assert_eq!((counts[0], counts[1], counts[2]), (1, 1, 2));
        assert_eq!((counts[ENDS.len() - 1], counts[ENDS.len()]), (1, 1));
    }

    #[test]
    fn the_histogram_spans_what_was_measured() {
        let shown = times(&[1, 1, 1, 1, 9]).histogram();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert!(lines[0].starts_with("<=      1 ms  ####") && lines[0].ends_with("  4"), "{shown}");
        assert!(lines[3].contains("##########  ") && lines[3].ends_with("  1"), "{shown}");
        assert_eq!(times(&[]).histogram(), "nothing was measured");
    }

    #[test]
    fn names_and_values_are_aligned() {
        assert_eq!(pairs(&[("call", "a".into()), ("status", "b".into())]), "call    a\nstatus  b");
    }

    #[test]
    fn a_table_keeps_its_rows() {
        let shown = table(&["name", "count"], [vec!["calls".to_owned(), "20".to_owned()]]);
        assert!(shown.contains("calls") && shown.contains("20") && !shown.contains('\u{1b}'), "{shown}");
    }
}

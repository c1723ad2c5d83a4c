//! The table of what found which mutation.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::found::Found;
use crate::mutants::Mutant;

pub(crate) struct Row {
    pub(crate) mutant: Mutant,
    pub(crate) result: Result<Found>,
}

impl Row {
    /// A mutation is found; the code as it is has none.
    pub(crate) fn is_as_it_should(&self) -> bool {
        let should_find = !self.mutant.name.is_empty();
        self.result.as_ref().is_ok_and(|found| found.by.is_empty() != should_find)
    }

    fn by(&self) -> String {
        match &self.result {
            Err(error) => format!("{error:#}"),
            Ok(found) if found.by.is_empty() => "nothing".into(),
            Ok(found) => {
                let by = found.by.iter().map(|(name, count)| format!("{name} {count}"));
                by.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

pub(crate) fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.mutant.what.len()).max().unwrap_or(0);
    let mut text = format!("{:<22} {:<width$} {:>6}  found by\n", "mutation", "what is wrong", "calls");
    for row in rows {
        let name = if row.mutant.name.is_empty() { "(none)" } else { row.mutant.name };
        let calls = row.result.as_ref().map_or(0, |found| found.calls);
        let day = if row.result.as_ref().is_ok_and(|found| found.day) { " (day)" } else { "" };
        let mark = if row.is_as_it_should() { "" } else { "  <- WRONG" };
        let _ = writeln!(text, "{name:<22} {:<width$} {calls:>6}  {}{day}{mark}", row.mutant.what, row.by());
    }
    let wrong = rows.iter().filter(|row| !row.is_as_it_should()).count();
    let _ = writeln!(text, "{} mutations, {} rows wrong", rows.len().saturating_sub(1), wrong);
    text
}

pub(crate) fn json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        let found = row.result.as_ref().ok();
        json!({
            "mutation": row.mutant.name,
            "what": row.mutant.what,
            "found_by": found.map(|found| &found.by),
            "calls": found.map(|found| found.calls),
            "seed": found.map(|found| found.seed),
            "problem": found.map_or_else(|| Some(row.by()), |found| found.problem.clone()),
            "ok": row.is_as_it_should(),
        })
    });
    json!({ "mutations": rows.collect::<Vec<_>>() })
}

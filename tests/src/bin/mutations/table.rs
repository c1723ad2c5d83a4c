//! The table of what found which mutation.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::found::Found;
use crate::mutants::Mutant;

pub(crate) struct Row {
    pub(crate) mutant: Mutant,
    /// What the simulation found; none where it is another test's.
    pub(crate) result: Option<Result<Found>>,
}

impl Row {
    /// A mutation is found; the code as it is has none.
    pub(crate) fn is_as_it_should(&self) -> bool {
        let should_find = !self.mutant.name.is_empty();
        match &self.result {
            Some(Ok(found)) => found.by.is_empty() != should_find,
            Some(Err(_)) => false,
            None => self.mutant.test.is_some(),
        }
    }

    fn found(&self) -> Option<&Found> {
        self.result.as_ref()?.as_ref().ok()
    }

    fn by(&self) -> String {
        match &self.result {
            None => format!("test of {}", self.mutant.test.unwrap_or_default()),
            Some(Err(error)) => format!("{error:#}"),
            Some(Ok(found)) if found.by.is_empty() => "nothing".into(),
            Some(Ok(found)) => {
                let by: Vec<_> = found.by.iter().map(|(name, count)| format!("{name} {count}")).collect();
                format!("{} ({})", by.join(", "), found.scene)
            }
        }
    }
}

pub(crate) fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.mutant.what.len()).max().unwrap_or(0);
    let mut text = format!("{:<22} {:<width$} {:>6}  found by\n", "mutation", "what is wrong", "calls");
    for row in rows {
        let name = if row.mutant.name.is_empty() { "(none)" } else { row.mutant.name };
        let calls = row.found().map_or_else(String::new, |found| found.calls.to_string());
        let mark = if row.is_as_it_should() { "" } else { "  <- wrong" };
        let _ = writeln!(text, "{name:<22} {:<width$} {calls:>6}  {}{mark}", row.mutant.what, row.by());
    }
    let wrong = rows.iter().filter(|row| !row.is_as_it_should()).count();
    let _ = writeln!(text, "{} mutations, {wrong} rows wrong", rows.len().saturating_sub(1));
    text
}

pub(crate) fn json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        let found = row.found();
        json!({
            "mutation": row.mutant.name,
            "what": row.mutant.what,
            "found_by": row.by(),
            "calls": found.map(|found| found.calls),
            "scene": found.map(|found| &found.scene),
            "seed": found.map(|found| found.seed),
            "problem": found.and_then(|found| found.problem.as_deref()),
            "ok": row.is_as_it_should(),
        })
    });
    json!({ "mutations": rows.collect::<Vec<_>>() })
}

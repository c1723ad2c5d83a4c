//! Tables of results, and the file they are written to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::{Machine, load};

/// A run: what was measured, on what, when.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    commit: String,
    date: String,
    machine: Machine,
    load_before: String,
    load_after: String,
    groups: Vec<Group>,
}

impl Results {
    /// A run that starts now.
    pub(crate) fn new(commit: String) -> Self {
        let date = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
        let (load_before, load_after) = (load(), String::new());
        Self { commit, date, machine: Machine::this(), load_before, load_after, groups: Vec::new() }
    }

    pub(crate) fn add(&mut self, group: Group) {
        self.groups.push(group);
    }

    pub(crate) fn write(mut self, to: &Path) -> Result<()> {
        self.load_after = load();
        let text = serde_json::to_string_pretty(&self).context("cannot write the results as JSON")?;
        fs::write(to, text + "\n").with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Tables that belong together, and what was aimed at.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    name: &'static str,
    aims: Vec<Value>,
    tables: Vec<Table>,
}

impl Group {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, aims: Vec::new(), tables: Vec::new() }
    }

    /// An aim that is met by at least `aim`.
    pub(crate) fn at_least(&mut self, name: &str, aim: f64, measured: f64) {
        self.aims.push(
            json!({"name": name, "at_least": aim, "measured": round(measured), "met": measured >= aim}),
        );
    }

    /// An aim that is met by at most `aim`.
    pub(crate) fn at_most(&mut self, name: &str, aim: f64, measured: f64) {
        self.aims
            .push(json!({"name": name, "at_most": aim, "measured": round(measured), "met": measured <= aim}));
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }
}

/// Rows of a name and numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One row; a number that is none is written as null.
    pub(crate) fn row(&mut self, name: &str, numbers: impl IntoIterator<Item = f64>) {
        let numbers = numbers.into_iter().map(|number| json!(round(number)));
        self.rows.push(std::iter::once(json!(name)).chain(numbers).collect());
    }
}

/// Three digits after the point, fewer for larger numbers: more would be noise.
fn round(number: f64) -> f64 {
    let scale = match number.abs() {
        large if large >= 100.0 => 1.0,
        middle if middle >= 10.0 => 10.0,
        _ => 1000.0,
    };
    (number * scale).round() / scale
}

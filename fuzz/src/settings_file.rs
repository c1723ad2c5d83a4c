//! `trunkline.toml`: known names with plain values, and no error that repeats one.

use std::ffi::OsString;

use toml::{Table, Value};

use crate::quiet;

// The command line is a program and no library.
#[allow(dead_code, reason = "the file is not looked for here")]
#[path = "../../crates/cli/src/settings/file.rs"]
mod file;
#[allow(dead_code, reason = "flags and variables are not read here")]
#[path = "../../crates/cli/src/settings/names.rs"]
mod names;

type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let table = text.parse::<Table>().ok();
    let file = match file::parse(text, "trunkline.toml".into()) {
        Ok(file) => file,
        Err(problem) => {
            let shown = format!("{problem} {problem:?} {:?}", problem.to_json());
            quiet::text(&shown);
            let in_a_name =
                |table: &Table| table.keys().any(|key| key.to_ascii_lowercase().contains("canary"));
            if !table.as_ref().is_some_and(in_a_name) {
                quiet::canary(&shown);
            }
            return;
        }
    };
    let Some(table) = table else { panic!("settings in a file that is not TOML") };
    assert_eq!(file.values.len(), table.len(), "a setting was left out");
    for (name, value) in &file.values {
        assert!(names::SECRETS.iter().all(|secret| secret.name != *name), "{name} was taken from the file");
        let told = match &table[*name] {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            other => panic!("{name} is a {}", other.type_str()),
        };
        assert_eq!(*value, told);
    }
}

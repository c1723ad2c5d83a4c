//! Each Rust file opens with a line that says what it is.

use super::finding::Finding;
use super::workspace::{Source, Workspace};
use anyhow::Result;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    Ok(workspace.sources.iter().filter_map(opens_with_docs).collect())
}

fn opens_with_docs(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
    let fix = "make the first line `//! <what this file is>`";
    (!says).then(|| Finding::new(&source.path, "does not open with a `//!` line", fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_a_doc_line_first() {
        let source = |text: &str| Source { path: "a.rs".into(), text: text.into() };
        assert_eq!(opens_with_docs(&source("//! A thing.\nuse x;\n")), None);
        for text in ["", "use x;\n", "\n//! Late.\n", "// A comment.\n", "//!\n//! Late.\n"] {
            assert!(opens_with_docs(&source(text)).is_some(), "{text:?}");
        }
    }
}

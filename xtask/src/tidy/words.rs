//! Words that do not stay in sources, and files that grew too long.

use super::finding::Finding;
use super::workspace::{Source, Workspace};
use anyhow::Result;

/// Written in two parts so that this file passes its own check.
const WORDS: [(&str, &str); 5] = [
    (concat!("TO", "DO"), "do it now, or open an issue and drop the mark"),
    (concat!("FIX", "ME"), "fix it now, or open an issue and drop the mark"),
    (concat!("todo", "!("), "write the code"),
    (concat!("#[", "ignore"), "make the test pass or remove it; a test always runs"),
    (concat!("```", "ignore"), "make the example compile; use `no_run` if it needs a network"),
];

/// Longest file, in lines before its tests.
const LONGEST: usize = 500;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let words = workspace.sources.iter().flat_map(words);
    Ok(words.chain(workspace.sources.iter().filter_map(long)).collect())
}

fn words(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().enumerate();
    let hits = lines.flat_map(|(at, line)| {
        let hits = WORDS.iter().filter(move |(word, _)| line.contains(word));
        hits.map(move |(word, fix)| (at + 1, word, fix))
    });
    hits.map(|(line, word, fix)| {
        Finding::new(format!("{}:{line}", source.path), format!("holds `{word}`"), *fix)
    })
    .collect()
}

fn long(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let problem = format!("has {lines} lines before its tests, more than {LONGEST}");
    let too_long = lines > LONGEST && !is_test(&source.path);
    too_long.then(|| Finding::new(&source.path, problem, "split it by noun: `foo.rs` and `foo/bar.rs`"))
}

/// Whether the whole file is tests: `crates/a/tests/x.rs`, `tests/scenarios/x.rs`, `a/tests.rs`.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/scenarios/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn finds_each_word_at_its_line() {
        for (word, _) in WORDS {
            let found = words(&source("a.rs", format!("//! A.\n// {word}\n")));
            assert!(found.len() == 1 && found[0].to_string().starts_with("a.rs:2: "), "{word}: {found:?}");
        }
        assert_eq!(words(&source("a.rs", "//! A mastodon, ignored.\n")), []);
    }

    #[test]
    fn counts_lines_before_the_tests_only() {
        let body = "line\n".repeat(LONGEST);
        let tested = format!("{body}#[cfg(test)]\nmod tests {{\n{body}}}\n");
        assert_eq!(long(&source("a.rs", tested)), None);
        assert!(long(&source("crates/a/src/a.rs", format!("{body}line\n"))).is_some());
        assert_eq!(long(&source("crates/a/tests/a.rs", format!("{body}line\n"))), None);
        assert!(long(&source("tests/src/a.rs", format!("{body}line\n"))).is_some());
    }
}

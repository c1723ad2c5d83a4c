//! Sums of the results that test binaries print.

use anyhow::{Result, bail};
use std::fmt;

/// Shown as `N passed, N failed`.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; ...`; others count nothing.
    pub(super) fn add(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let Some((_, counts)) = result.split_once(". ") else { return };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds another count.
    pub(super) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Whether no test ran.
    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }

    /// An error unless tests ran, all of them, and none failed.
    pub(super) fn check(&self) -> Result<()> {
        if self.failed > 0 {
            bail!("{} tests failed", self.failed);
        }
        if self.ignored > 0 {
            bail!("{} tests were ignored: a test always runs", self.ignored);
        }
        if self.is_empty() {
            bail!("no test ran");
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str =
        "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s\n";
    const BAD: &str =
        "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn sums_the_results_of_all_binaries() {
        let tally = tally(&["running 12 tests", OK, "test a::b ... ok", BAD, "test result: ", ""]);
        assert_eq!(tally.to_string(), "16 passed, 2 failed");
        assert!(tally.check().is_err());
    }

    #[test]
    fn passes_only_if_tests_ran_and_none_was_left_out() {
        assert!(tally(&[OK]).check().is_ok());
        assert!(tally(&[]).check().unwrap_err().to_string().contains("no test ran"));
        let ignored = OK.replace("0 ignored", "1 ignored");
        assert!(tally(&[&ignored]).check().unwrap_err().to_string().contains("1 tests were ignored"));
    }
}

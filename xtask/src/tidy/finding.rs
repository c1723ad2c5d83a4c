//! One failure of a check.

use std::fmt;

/// Where, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    problem: String,
    fix: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    fix: {}", self.place, self.problem, self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_place_problem_and_fix() {
        let shown = Finding::new("a.rs", "is long", "split it").to_string();
        assert_eq!(shown, "a.rs: is long\n    fix: split it");
    }
}

//! Bad input: which field, what is wrong with its shape, how to put it right.

use std::fmt;

/// A value that cannot be used. Holds the field's name and the value's shape, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    field: &'static str,
    problem: Box<str>,
}

impl InputError {
    /// An error about `field`; `problem` says what is wrong and what to write instead, without the value.
    pub fn new(field: &'static str, problem: impl Into<Box<str>>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// The field's name, as in the settings and in the docs.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The same problem under the name that the caller knows the field by.
    #[must_use]
    pub fn of(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InputError {}

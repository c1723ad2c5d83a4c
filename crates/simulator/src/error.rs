//! Why a simulator could not be started.

use std::error::Error;
use std::fmt;
use std::io;

/// A simulator that did not start: names the setting and what to do.
#[derive(Debug)]
pub struct StartError {
    kind: StartErrorKind,
    field: &'static str,
    problem: Box<str>,
    source: Option<io::Error>,
}

/// What kept a simulator from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// A setting is out of its range.
    Settings,
    /// The address could not be listened on.
    Listen,
}

impl StartError {
    pub(crate) fn new(kind: StartErrorKind, field: &'static str, problem: impl Into<Box<str>>) -> Self {
        Self { kind, field, problem: problem.into(), source: None }
    }

    pub(crate) fn listen(source: io::Error) -> Self {
        let problem = "cannot be listened on; choose a free port or 0";
        Self { source: Some(source), ..Self::new(StartErrorKind::Listen, "listen", problem) }
    }

    /// The kind, for callers who branch.
    pub fn kind(&self) -> StartErrorKind {
        self.kind
    }

    /// The setter's name.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|e| e as &(dyn Error + 'static))
    }
}

//! The two streams. A reader that went away is not an error: writing goes on into nothing.

use std::io::{self, Write};

use serde::Serialize;

/// One standard stream, written line by line.
pub(crate) struct Out(Box<dyn Write>);

impl Out {
    /// Results.
    pub(crate) fn stdout() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Everything else.
    pub(crate) fn stderr() -> Self {
        Self(Box::new(io::stderr()))
    }

    /// Writes the text and ends its line.
    pub(crate) fn text(&mut self, text: &str) {
        let line = text.strip_suffix('\n').unwrap_or(text);
        // Ignored on purpose: `trunkline … | head` ends quietly.
        let _ = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
    }

    /// Writes one JSON value on one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        // Our own structs of text and numbers always serialize.
        self.text(&serde_json::to_string(value).unwrap_or_default());
    }
}

//! The one place where errors become exit codes, lines for people and JSON.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use trunkline::{ErrorKind, InputError, KeyError, KeyErrorKind, WithCauses};
use trunkline_simulator::{StartError, StartErrorKind};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; a call is placed.
    Done = 0,
    /// A check of `demo` failed.
    CheckFailed = 1,
    /// Bad input or settings.
    Input = 2,
    /// The provider refused.
    Rejected = 3,
    /// The outcome is unknown: the phone may have rung.
    Unknown = 4,
    /// Nothing was sent: keys, limit, connection, journal, or an address that is taken.
    Unsent = 5,
    /// Ended by Ctrl-C after what was under way had finished.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: Exit,
    class: &'static str,
    message: String,
    field: Option<String>,
    details: Box<Details>,
    advice: Option<&'static str>,
}

/// What the facade knows beside the message.
#[derive(Debug, Default)]
struct Details {
    retry_after: Option<Duration>,
    status: Option<u16>,
    tries: u32,
    key: Option<String>,
    request_id: Option<String>,
}

/// A [`Problem`] as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemJson<'a> {
    class: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    fn new(exit: Exit, class: &'static str, message: String) -> Self {
        Self { exit, class, message, field: None, details: Box::default(), advice: None }
    }

    /// Bad input or settings; `problem` holds the shape of the value and never the value.
    pub(crate) fn input(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field}: {problem}");
        Self { field: Some(field), ..Self::new(Exit::Input, "input", message) }
    }

    /// Nothing was sent.
    pub(crate) fn unsent(message: String) -> Self {
        Self::new(Exit::Unsent, "unsent", message)
    }

    /// A journal that cannot be opened or read.
    pub(crate) fn journal(path: &std::path::Path, error: &dyn StdError) -> Self {
        let shown = WithCauses(error).to_string();
        let shown = shown.strip_prefix("journal: ").unwrap_or(&shown);
        Self::input("journal", format!("{}: {shown}", path.display()))
    }

    /// The same, naming the file that it is about.
    pub(crate) fn about(mut self, path: &std::path::Path) -> Self {
        self.message = format!("{} ({})", self.message, path.display());
        self
    }

    /// A call that was given up while its outcome was open.
    pub(crate) fn given_up() -> Self {
        let message = "interrupted before the provider answered".to_owned();
        Self { advice: Some(AMBIGUOUS), ..Self::new(Exit::Unknown, "ambiguous", message) }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened, in one line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where the message does not say.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// The setting or argument it is about, where one is known.
    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Its JSON form.
    pub(crate) fn to_json(&self) -> ProblemJson<'_> {
        ProblemJson {
            class: self.class,
            error: &self.message,
            field: self.field.as_deref(),
            retry_after_s: self.details.retry_after.map(|wait| wait.as_secs_f64()),
            status: self.details.status,
            tries: (self.details.tries > 0).then_some(self.details.tries),
            key: self.details.key.as_deref(),
            request_id: self.details.request_id.as_deref(),
        }
    }
}

const AMBIGUOUS: &str = "the phone may have rung: do not place the call anew; place it again under its --key, or look that key up";
const UNSENT: &str =
    "nothing was sent, so trying again is safe; `trunkline doctor` checks keys, address and clock";
const CREDENTIALS: &str = "the provider does not accept the key: check TRUNKLINE_API_KEY, api_key_file or the secret in Vault, and the signing secret";

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        Self { field: Some(error.field().to_owned()), ..Self::new(Exit::Input, "input", error.to_string()) }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error.kind() {
            KeyErrorKind::Missing | KeyErrorKind::Invalid => {
                Self::new(Exit::Input, "input", error.to_string())
            }
            _ => Self::unsent(error.to_string()),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let (exit, class) = match error.kind() {
            StartErrorKind::Listen => (Exit::Unsent, "unsent"),
            _ => (Exit::Input, "input"),
        };
        Self {
            field: Some(error.field().to_owned()),
            ..Self::new(exit, class, WithCauses(&error).to_string())
        }
    }
}

impl From<trunkline::Error> for Problem {
    fn from(error: trunkline::Error) -> Self {
        let (exit, class) = class_of(error.kind());
        let advice = match (error.kind(), error.status().map(|status| status.as_u16())) {
            (ErrorKind::Ambiguous, _) => Some(AMBIGUOUS),
            (ErrorKind::Rejected, Some(401)) => Some(CREDENTIALS),
            (ErrorKind::Unsent, _) => Some(UNSENT),
            _ => None,
        };
        let field = error.field().map(str::to_owned);
        let details = Details {
            retry_after: error.retry_after(),
            status: error.status().map(|status| status.as_u16()),
            tries: error.tries(),
            key: error.key().map(|key| key.as_str().to_owned()),
            request_id: error.request_id().map(str::to_owned),
        };
        Self {
            field,
            details: Box::new(details),
            advice,
            ..Self::new(exit, class, WithCauses(&error).to_string())
        }
    }
}

/// Exit code and word of an outcome; a kind that comes later is an unknown outcome until it has its line here.
fn class_of(kind: ErrorKind) -> (Exit, &'static str) {
    match kind {
        ErrorKind::Input => (Exit::Input, "input"),
        ErrorKind::NotAllowed => (Exit::Input, "not_allowed"),
        ErrorKind::Rejected => (Exit::Rejected, "rejected"),
        ErrorKind::Unsent => (Exit::Unsent, "unsent"),
        _ => (Exit::Unknown, "ambiguous"),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(wait) = self.details.retry_after {
            write!(f, "\n  try again after {:.1} s", wait.as_secs_f64())?;
        }
        if let Some(key) = &self.details.key {
            write!(f, "\n  key {key}")?;
        }
        match self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_exit_code_of_the_readme() {
        for (kind, exit, word) in [
            (ErrorKind::Input, 2, "input"),
            (ErrorKind::NotAllowed, 2, "not_allowed"),
            (ErrorKind::Rejected, 3, "rejected"),
            (ErrorKind::Ambiguous, 4, "ambiguous"),
            (ErrorKind::Unreadable, 4, "ambiguous"),
            (ErrorKind::Unsent, 5, "unsent"),
        ] {
            let (code, class) = class_of(kind);
            assert_eq!((code as u8, class), (exit, word), "{kind:?}");
        }
    }

    #[test]
    fn keys_that_are_missing_are_settings_and_a_store_that_is_out_is_not() {
        for (kind, exit) in [
            (KeyErrorKind::Missing, Exit::Input),
            (KeyErrorKind::Invalid, Exit::Input),
            (KeyErrorKind::Denied, Exit::Unsent),
            (KeyErrorKind::Unavailable, Exit::Unsent),
            (KeyErrorKind::Timeout, Exit::Unsent),
        ] {
            assert_eq!(Problem::from(KeyError::new(kind, "why")).exit(), exit, "{kind:?}");
        }
    }

    #[test]
    fn an_input_error_keeps_its_field() {
        let problem = Problem::from(InputError::new("to", "not a number"));
        let json = serde_json::to_value(problem.to_json()).unwrap();
        assert_eq!(json, serde_json::json!({"class": "input", "error": "to: not a number", "field": "to"}));
        assert_eq!(problem.to_string(), "error: to: not a number");
    }
}

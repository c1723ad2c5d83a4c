//! Flag, environment, file: the first that has a value gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::file::SettingsFile;
use super::names::SETTINGS;
use super::{Env, Flags};
use crate::exit::Problem;

/// Where a setting was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whence {
    /// The flag of this name.
    Flag(String),
    /// The environment variable of this name.
    Environment(String),
    /// This file.
    File(PathBuf),
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Every setting that has a value, as text, with its place.
pub(super) struct Found(BTreeMap<&'static str, (String, Whence)>);

impl Found {
    /// An empty variable counts as not set.
    pub(super) fn gather(flags: &Flags, env: Env<'_>, file: Option<&SettingsFile>) -> Result<Self, Problem> {
        let mut found = BTreeMap::new();
        for setting in SETTINGS {
            let variable = setting.variable();
            let value = if let Some(value) = flags.get(setting.name) {
                (value.to_owned(), Whence::Flag(setting.flag()))
            } else if let Some(value) = env(&variable).filter(|value| !value.is_empty()) {
                let text = value
                    .into_string()
                    .map_err(|_| Problem::input(&*variable, "is not UTF-8; set it again as text"))?;
                (text, Whence::Environment(variable))
            } else if let Some((value, file)) =
                file.and_then(|file| Some((file.values.get(setting.name)?, file)))
            {
                (value.clone(), Whence::File(file.path.clone()))
            } else {
                continue;
            };
            found.insert(setting.name, value);
        }
        Ok(Self(found))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(text, _)| text.as_str())
    }

    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        self.text(name).map(parse).transpose()
    }

    /// The name by which the user gave it, for messages.
    pub(super) fn place(&self, name: &str) -> String {
        match self.0.get(name) {
            Some((_, Whence::File(path))) => format!("{name} in {}", path.display()),
            Some((_, whence)) => whence.to_string(),
            None => name.to_owned(),
        }
    }

    /// The settings found, in the order of their table.
    pub(super) fn places(&self) -> Vec<(&'static str, Whence)> {
        let whence = |name| self.0.get(name).map(|(_, whence)| (name, whence.clone()));
        SETTINGS.iter().filter_map(|setting| whence(setting.name)).collect()
    }
}

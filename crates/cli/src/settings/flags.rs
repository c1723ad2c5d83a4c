//! The settings as flags, made from their table so that no name can differ.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::names::SETTINGS;

/// The settings given as flags. `Debug` shows their names only.
#[derive(Clone, Default)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, String>,
    config: Option<PathBuf>,
}

const HEADING: &str = "Settings (flag, then environment, then trunkline.toml)";

impl Flags {
    /// The value of a setting, if its flag was given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The file named by `--config`.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&'static str, &str)]) -> Self {
        Self {
            values: pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            config: None,
        }
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                self.values.insert(setting.name, value.clone());
            }
        }
        self.config = matches.get_one::<PathBuf>("config").cloned();
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading(HEADING)
            .help("File of settings [env: TRUNKLINE_CONFIG] [default: trunkline.toml, if there is one]");
        let flags = SETTINGS.iter().map(|setting| {
            Arg::new(setting.name)
                .long(setting.flag())
                .value_name(setting.value)
                // Each value is checked with its name, wherever it comes from.
                .allow_hyphen_values(true)
                .help_heading(HEADING)
                .help(format!("{} [env: {}]", setting.help, setting.variable()))
        });
        command.arg(config).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags").field("given", &self.values.keys()).finish_non_exhaustive()
    }
}

//! The table of settings: one name for flag, environment and file.

use strsim::osa_distance;

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// `base_url`; the flag is `--base-url`, the variable `TRUNKLINE_BASE_URL`.
    pub(super) name: &'static str,
    /// What stands for its value in help texts.
    pub(super) value: &'static str,
    /// Meaning, unit, default.
    pub(super) help: &'static str,
}

impl Setting {
    const fn new(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value, help }
    }

    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(super) fn variable(&self) -> String {
        format!("TRUNKLINE_{}", self.name.to_uppercase())
    }
}

/// All of them, in the order of help texts and `doctor`.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("provider", "NAME", "Provider, see `trunkline providers` [default: claude]"),
    Setting::new("account", "NAME", "Name of the account in references and metrics [default: main]"),
    Setting::new("base_url", "URL", "Where the provider's API is: https, or http on loopback"),
    Setting::new("from", "NUMBER", "Caller id, E.164 [default: the account's own]"),
    Setting::new(
        "pace",
        "N[/S]",
        "Starts a second, or N starts in S seconds [default: what the provider gives a new account]",
    ),
    Setting::new(
        "timeout",
        "SECONDS",
        "Time for the whole operation, waits and repeats included [default: 30]",
    ),
    Setting::new(
        "processing_delay",
        "SECONDS",
        "After this time the provider no longer acts on a call that it has not acted on; a reconcile waits for it [default: the provider's]",
    ),
    Setting::new("ca_file", "FILE", "PEM certificates trusted beside the machine's own [default: none]"),
    Setting::new(
        "metrics_listen",
        "ADDR",
        "Serve Prometheus metrics here while the command runs [default: nowhere]",
    ),
    Setting::new("api_key_file", "FILE", "File that holds the API key, instead of TRUNKLINE_API_KEY"),
    Setting::new(
        "signing_secret_file",
        "FILE",
        "File that holds the signing secret, instead of TRUNKLINE_SIGNING_SECRET",
    ),
    Setting::new("vault_addr", "URL", "Take the keys from HashiCorp Vault at this address"),
    Setting::new("vault_mount", "NAME", "Where the KV version 2 engine is mounted [default: secret]"),
    Setting::new("vault_path", "PATH", "The secret in it, without data/"),
    Setting::new("vault_field", "NAME", "Its field with the API key [default: api_key]"),
    Setting::new("vault_signing_field", "NAME", "Its field with the signing secret [default: none]"),
    Setting::new(
        "vault_role_id",
        "ID",
        "AppRole login; the secret id is in TRUNKLINE_VAULT_SECRET_ID or vault_secret_id_file",
    ),
    Setting::new("vault_secret_id_file", "FILE", "File that holds the AppRole secret id"),
    Setting::new("vault_login_mount", "NAME", "Where the AppRole method is mounted [default: approle]"),
    Setting::new(
        "vault_token_file",
        "FILE",
        "File that holds a Vault token, instead of TRUNKLINE_VAULT_TOKEN",
    ),
    Setting::new(
        "vault_ca_file",
        "FILE",
        "PEM certificates trusted for Vault beside the machine's own [default: none]",
    ),
    Setting::new("vault_namespace", "NAME", "Vault namespace [default: none]"),
];

/// A secret: it has a variable, and a file or a field to be kept in, but no flag and no line in the file of settings.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) instead: &'static str,
}

pub(super) const SECRETS: [Secret; 4] = [
    Secret { name: "api_key", variable: API_KEY, instead: "api_key_file" },
    Secret { name: "signing_secret", variable: SIGNING_SECRET, instead: "signing_secret_file" },
    Secret { name: "vault_token", variable: VAULT_TOKEN, instead: "vault_token_file" },
    Secret { name: "vault_secret_id", variable: VAULT_SECRET_ID, instead: "vault_secret_id_file" },
];

pub(super) const API_KEY: &str = "TRUNKLINE_API_KEY";
pub(super) const SIGNING_SECRET: &str = "TRUNKLINE_SIGNING_SECRET";
pub(super) const VAULT_TOKEN: &str = "TRUNKLINE_VAULT_TOKEN";
pub(super) const VAULT_SECRET_ID: &str = "TRUNKLINE_VAULT_SECRET_ID";

/// The known name nearest to a misspelt one, if one is near.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let (slips, name) = closest(unknown, SETTINGS.iter().map(|setting| setting.name))?;
    (slips <= 1 + name.len() / 4).then_some(name)
}

/// Of these names the one with the fewest slips between, and how many they are.
fn closest<'a>(unknown: &str, names: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    // A name of the file may be of any length; a long one is near to nothing.
    let unknown: String = unknown.chars().take(64).collect();
    names.map(|name| (osa_distance(&unknown, name), name)).min()
}

/// Variables that nobody reads and whose names are near to one that is read, each with that one.
pub(crate) fn slips(variables: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let others =
        SECRETS.map(|secret| secret.variable).into_iter().chain(["TRUNKLINE_CONFIG", "TRUNKLINE_LOG"]);
    let known: Vec<String> =
        SETTINGS.iter().map(Setting::variable).chain(others.map(str::to_owned)).collect();
    let unknown = variables.filter(|name| name.starts_with("TRUNKLINE_") && !known.contains(name));
    let near = |name: String| {
        let (slips, meant) = closest(&name, known.iter().map(String::as_str))?;
        (slips <= 2).then(|| (name, meant.to_owned()))
    };
    unknown.filter_map(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nobody_reads_finds_the_one_that_was_meant() {
        let variables =
            ["TRUNKLINE_PAEC", "TRUNKLINE_PACE", "TRUNKLINE_TEST_BIN", "TRUNKLINE_API_KYE", "PAEC"];
        let slips = slips(variables.into_iter().map(str::to_owned));
        let slips: Vec<_> = slips.iter().map(|(slip, meant)| (slip.as_str(), meant.as_str())).collect();
        assert_eq!(slips, [("TRUNKLINE_PAEC", "TRUNKLINE_PACE"), ("TRUNKLINE_API_KYE", "TRUNKLINE_API_KEY")]);
    }

    #[test]
    fn a_slip_finds_its_name_and_nonsense_none() {
        for (slip, name) in
            [("base-url", "base_url"), ("baseurl", "base_url"), ("vault_adr", "vault_addr"), ("pce", "pace")]
        {
            assert_eq!(nearest(slip), Some(name), "{slip}");
        }
        assert_eq!(nearest("colour_of_the_sky"), None);
    }

    #[test]
    fn no_secret_is_a_setting() {
        for secret in SECRETS {
            assert!(SETTINGS.iter().all(|setting| setting.name != secret.name), "{}", secret.name);
            assert!(
                !secret.instead.starts_with("vault") || SETTINGS.iter().any(|s| s.name == secret.instead)
            );
        }
    }
}

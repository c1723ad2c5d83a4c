//! Where the API key and the signing secret are kept: environment, file or Vault, one of them each.

#[cfg(feature = "vault")]
mod vault;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use trunkline::keys::{EnvKeys, FileKeys};
use trunkline::{BoxFuture, KeyError, KeyProvider, KeySet};

use super::Env;
use super::merge::Found;
use super::names::{API_KEY, SETTINGS, SIGNING_SECRET};
use crate::exit::Problem;

/// The sources of both keys. Holds no secret.
#[derive(Debug)]
pub(crate) struct KeyPlan {
    api_key: Option<Source>,
    signing: Option<Source>,
    #[cfg(feature = "vault")]
    vault: Option<vault::VaultPlan>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Environment(&'static str),
    File(PathBuf),
    /// This field of the secret in Vault.
    Vault(String),
}

impl KeyPlan {
    pub(super) fn new(found: &Found, env: Env<'_>) -> Result<Self, Problem> {
        let in_vault = found.text("vault_addr").is_some();
        refuse_half_a_vault(found, in_vault)?;
        let api_field = in_vault.then(|| found.text("vault_field").unwrap_or("api_key"));
        let signing_field = found.text("vault_signing_field").filter(|_| in_vault);
        Ok(Self {
            api_key: source(
                found,
                env,
                API_KEY,
                "api_key_file",
                api_field.map(|field| ("vault_addr", field)),
            )?,
            signing: source(
                found,
                env,
                SIGNING_SECRET,
                "signing_secret_file",
                signing_field.map(|field| ("vault_signing_field", field)),
            )?,
            #[cfg(feature = "vault")]
            vault: in_vault.then(|| vault::VaultPlan::new(found, env)).transpose()?,
        })
    }

    /// The API key's provider.
    ///
    /// An account without one is a mistake in the settings.
    pub(crate) fn api_key(&self) -> Result<ChosenKeys, Problem> {
        let missing = || {
            let problem =
                format!("there is none; set {API_KEY}, or api_key_file, or vault_addr and vault_path");
            Problem::input("api_key", problem)
        };
        self.open(self.api_key.as_ref().ok_or_else(missing)?)
    }

    /// The signing secret's provider; `None` if bodies are not signed.
    pub(crate) fn signing(&self) -> Result<Option<ChosenKeys>, Problem> {
        self.signing.as_ref().map(|source| self.open(source)).transpose()
    }

    fn open(&self, source: &Source) -> Result<ChosenKeys, Problem> {
        let (keys, store): (Arc<dyn KeyProvider>, _) = match source {
            Source::Environment(variable) => (Arc::new(EnvKeys::new(*variable)), EnvKeys::BACKEND),
            Source::File(path) => (Arc::new(FileKeys::new(path.clone())), FileKeys::BACKEND),
            #[cfg(feature = "vault")]
            Source::Vault(field) => {
                let plan = self.vault.as_ref().ok_or_else(|| Problem::input("vault_addr", "is not set"))?;
                (Arc::new(plan.keys(field)?), "vault")
            }
            #[cfg(not(feature = "vault"))]
            Source::Vault(_) => return Err(no_vault("vault_addr")),
        };
        Ok(ChosenKeys { keys, store })
    }
}

/// The one source of a key; two are a mistake that could use the wrong one.
fn source(
    found: &Found,
    env: Env<'_>,
    variable: &'static str,
    file: &'static str,
    vault: Option<(&'static str, &str)>,
) -> Result<Option<Source>, Problem> {
    let mut given = Vec::new();
    if is_set(env, variable) {
        given.push((variable.to_owned(), Source::Environment(variable)));
    }
    if let Some(path) = found.text(file) {
        given.push((found.place(file), Source::File(path.into())));
    }
    if let Some((setting, field)) = vault {
        given.push((found.place(setting), Source::Vault(field.to_owned())));
    }
    match given.as_slice() {
        [] => Ok(None),
        [(_, one)] => Ok(Some(one.clone())),
        [(first, _), (second, _), ..] => Err(Problem::input(
            file.trim_end_matches("_file"),
            format!("is given twice, by {first} and by {second}; keep one"),
        )),
    }
}

/// An empty variable counts as not set, as with every setting.
fn is_set(env: Env<'_>, variable: &str) -> bool {
    env(variable).is_some_and(|value| !value.is_empty())
}

/// Vault settings without an address would be ignored without a word, and without the feature all of them.
fn refuse_half_a_vault(found: &Found, in_vault: bool) -> Result<(), Problem> {
    let given = SETTINGS
        .iter()
        .find(|setting| setting.name.starts_with("vault_") && found.text(setting.name).is_some());
    match given {
        Some(setting) if cfg!(not(feature = "vault")) => Err(no_vault(setting.name)),
        Some(setting) if !in_vault => {
            Err(Problem::input("vault_addr", format!("is not set, but {} is", found.place(setting.name))))
        }
        _ => Ok(()),
    }
}

fn no_vault(setting: &str) -> Problem {
    Problem::input(
        setting,
        "this binary was built without Vault; build trunkline-cli with the feature `vault`",
    )
}

/// The source that the settings chose, and the name of its kind of store.
#[derive(Debug, Clone)]
pub(crate) struct ChosenKeys {
    keys: Arc<dyn KeyProvider>,
    store: &'static str,
}

impl ChosenKeys {
    /// `env`, `file` or `vault`.
    pub(crate) fn store(&self) -> &'static str {
        self.store
    }
}

impl KeyProvider for ChosenKeys {
    fn keys(&self, deadline: Instant) -> BoxFuture<'_, Result<KeySet, KeyError>> {
        self.keys.keys(deadline)
    }

    fn invalidate(&self, version: &str) {
        self.keys.invalidate(version);
    }

    fn backend(&self) -> &'static str {
        self.store
    }
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::super::tests::env_of;
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    fn plan(flags: &[(&'static str, &str)], env: Pairs) -> Result<KeyPlan, Problem> {
        let env = env_of(env);
        KeyPlan::new(&Found::gather(&Flags::of(flags), &env, None)?, &env)
    }

    const KEY: Pairs = &[("TRUNKLINE_API_KEY", "canary")];

    #[test]
    fn each_place_is_found() {
        let variable = plan(&[], KEY).unwrap();
        assert_eq!(variable.api_key().unwrap().store(), "env");
        assert!(variable.signing().unwrap().is_none());
        let file = plan(&[("api_key_file", "key"), ("signing_secret_file", "secret")], &[]).unwrap();
        assert_eq!(file.api_key().unwrap().store(), "file");
        assert_eq!(file.signing().unwrap().unwrap().store(), "file");
    }

    #[test]
    fn no_key_names_the_variable() {
        for env in [&[] as Pairs, &[("TRUNKLINE_API_KEY", "")]] {
            let problem = plan(&[], env).unwrap().api_key().unwrap_err();
            assert!(problem.to_string().contains("TRUNKLINE_API_KEY"), "{problem}");
        }
    }

    #[test]
    fn two_places_are_both_named() {
        let problem = plan(&[("api_key_file", "key")], KEY).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "error: api_key: is given twice, by TRUNKLINE_API_KEY and by --api-key-file; keep one"
        );
    }

    #[test]
    fn half_a_vault_is_refused() {
        let problem = plan(&[("vault_path", "voice/claude")], KEY).unwrap_err();
        let field = if cfg!(feature = "vault") { "vault_addr" } else { "vault_path" };
        assert_eq!(problem.field(), Some(field), "{problem}");
    }
}

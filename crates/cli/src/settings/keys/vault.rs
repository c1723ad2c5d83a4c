//! Keys in HashiCorp Vault: where, and how to log in. Secrets are read when the keys are opened, and not kept.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use trunkline::InputError;
use trunkline::keys::{VaultKeys, VaultLogin, VaultSettings};

use super::is_set;
use crate::exit::Problem;
use crate::settings::Env;
use crate::settings::merge::Found;
use crate::settings::names::{VAULT_SECRET_ID, VAULT_TOKEN};

/// The Vault settings, checked against each other.
#[derive(Debug)]
pub(super) struct VaultPlan {
    addr: String,
    mount: String,
    path: String,
    login: Login,
    namespace: Option<String>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug)]
enum Login {
    Role { mount: String, role_id: String, secret_id: Kept },
    Token(Kept),
}

/// Where a login secret is kept.
#[derive(Debug)]
enum Kept {
    Environment(&'static str),
    File(PathBuf),
}

/// The largest file with a login secret, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

impl VaultPlan {
    pub(super) fn new(found: &Found, env: Env<'_>) -> Result<Self, Problem> {
        let text = |name| found.text(name).map(str::to_owned);
        let path = text("vault_path")
            .ok_or_else(|| Problem::input("vault_path", "is not set; name the secret that holds the key"))?;
        Ok(Self {
            addr: text("vault_addr").unwrap_or_default(),
            mount: text("vault_mount").unwrap_or_else(|| "secret".to_owned()),
            path,
            login: Login::new(found, env)?,
            namespace: text("vault_namespace"),
            ca_file: text("vault_ca_file").map(PathBuf::from),
        })
    }

    /// The key in `field` of the secret.
    pub(super) fn keys(&self, field: &str) -> Result<VaultKeys, Problem> {
        let login = self.login.open()?;
        let mut settings =
            VaultSettings::new(&*self.addr, &*self.mount, &*self.path, login).with_field(field);
        if let Some(namespace) = &self.namespace {
            settings = settings.with_namespace(namespace);
        }
        if let Some(path) = &self.ca_file {
            settings = settings.with_ca_file(path);
        }
        VaultKeys::new(settings).map_err(|error| renamed(error).into())
    }
}

impl Login {
    fn new(found: &Found, env: Env<'_>) -> Result<Self, Problem> {
        let token = kept(found, env, VAULT_TOKEN, "vault_token_file")?;
        let secret_id = kept(found, env, VAULT_SECRET_ID, "vault_secret_id_file")?;
        match (token, found.text("vault_role_id"), secret_id) {
            (Some((token, _)), None, _) => Ok(Self::Token(token)),
            (None, Some(role_id), Some((secret_id, _))) => {
                let mount = found.text("vault_login_mount").unwrap_or("approle").to_owned();
                Ok(Self::Role { mount, role_id: role_id.to_owned(), secret_id })
            }
            (Some((_, place)), Some(_), _) => {
                let problem =
                    format!("two ways to log in: {} and {place}; keep one", found.place("vault_role_id"));
                Err(Problem::input("vault_role_id", problem))
            }
            (None, Some(_), None) => {
                let problem = format!("has no secret id; set {VAULT_SECRET_ID} or vault_secret_id_file");
                Err(Problem::input("vault_role_id", problem))
            }
            (None, None, _) => {
                let problem = format!("no login; set vault_role_id, or {VAULT_TOKEN}, or vault_token_file");
                Err(Problem::input("vault_addr", problem))
            }
        }
    }

    fn open(&self) -> Result<VaultLogin, Problem> {
        match self {
            // Read again at each fetch, so that an agent can renew it.
            Self::Token(Kept::File(path)) => Ok(VaultLogin::TokenFile(path.clone())),
            Self::Token(Kept::Environment(variable)) => Ok(VaultLogin::Token(from_env(variable)?.into())),
            Self::Role { mount, role_id, secret_id } => {
                let secret = match secret_id {
                    Kept::Environment(variable) => from_env(variable)?,
                    Kept::File(path) => from_file(path)?,
                };
                Ok(VaultLogin::app_role(mount, role_id, secret.into()))
            }
        }
    }
}

/// Where the secret is kept, and how the user named the place.
fn kept(
    found: &Found,
    env: Env<'_>,
    variable: &'static str,
    file: &'static str,
) -> Result<Option<(Kept, String)>, Problem> {
    let in_env = is_set(env, variable);
    match (in_env, found.text(file)) {
        (true, Some(_)) => {
            let problem = format!("is given twice, by {variable} and by {}; keep one", found.place(file));
            Err(Problem::input(file.trim_end_matches("_file"), problem))
        }
        (true, None) => Ok(Some((Kept::Environment(variable), variable.to_owned()))),
        (false, Some(path)) => Ok(Some((Kept::File(path.into()), found.place(file)))),
        (false, None) => Ok(None),
    }
}

fn from_env(variable: &str) -> Result<String, Problem> {
    std::env::var(variable).map_err(|_| Problem::input(variable, "is not UTF-8; set it again as text"))
}

fn from_file(path: &Path) -> Result<String, Problem> {
    let bad = |what| Problem::input("vault_secret_id_file", format!("{} {what}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > MAX_BYTES => {
            Err(bad("is larger than 16 KiB; it should hold the secret id alone"))
        }
        Ok(_) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(_) => Err(bad("cannot be read; check path and permission")),
    }
}

/// The same problem under the setting's name here.
fn renamed(error: InputError) -> InputError {
    let name = match error.field() {
        "address" => "vault_addr",
        "mount" => "vault_mount",
        "path" => "vault_path",
        "field" => "vault_field",
        "namespace" => "vault_namespace",
        "ca_file" => "vault_ca_file",
        "login_mount" => "vault_login_mount",
        "role_id" => "vault_role_id",
        "secret_id" => VAULT_SECRET_ID,
        "token" => VAULT_TOKEN,
        _ => "vault_addr",
    };
    error.of(name)
}

#[cfg(test)]
mod tests {
    use super::super::super::Flags;
    use super::super::super::tests::env_of;
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];
    const AT: [(&str, &str); 2] = [("vault_addr", "http://127.0.0.1:8200"), ("vault_path", "voice/claude")];

    fn plan(more: &[(&'static str, &str)], env: Pairs) -> Result<VaultPlan, Problem> {
        let flags: Vec<_> = AT.iter().chain(more).copied().collect();
        let env = env_of(env);
        VaultPlan::new(&Found::gather(&Flags::of(&flags), &env, None)?, &env)
    }

    #[test]
    fn a_login_is_needed_and_only_one() {
        const BOTH: Pairs = &[("TRUNKLINE_VAULT_TOKEN", "canary")];
        assert!(plan(&[], &[]).unwrap_err().to_string().contains("TRUNKLINE_VAULT_TOKEN"));
        assert!(
            plan(&[("vault_role_id", "role")], &[])
                .unwrap_err()
                .to_string()
                .contains("TRUNKLINE_VAULT_SECRET_ID")
        );
        let twice = plan(&[("vault_role_id", "role")], BOTH).unwrap_err().to_string();
        assert!(twice.contains("--vault-role-id") && twice.contains("TRUNKLINE_VAULT_TOKEN"), "{twice}");
        let twice = plan(&[("vault_token_file", "token")], BOTH).unwrap_err().to_string();
        assert!(twice.contains("--vault-token-file") && !twice.contains("canary"), "{twice}");
    }

    #[test]
    fn a_plan_holds_no_secret() {
        const ENV: Pairs = &[("TRUNKLINE_VAULT_SECRET_ID", "canary")];
        let plan = plan(&[("vault_role_id", "role")], ENV).unwrap();
        assert!(matches!(plan.login, Login::Role { .. }));
        assert!(!format!("{plan:?}").contains("canary"));
    }

    #[test]
    fn problems_of_the_store_carry_our_names() {
        let token = plan(&[("vault_token_file", "/nonexistent"), ("vault_mount", "a//b")], &[]).unwrap();
        assert_eq!(token.keys("api_key").unwrap_err().field(), Some("vault_mount"));
        let lost = plan(&[("vault_role_id", "role"), ("vault_secret_id_file", "/nonexistent")], &[]).unwrap();
        assert_eq!(lost.keys("api_key").unwrap_err().field(), Some("vault_secret_id_file"));
    }
}

//! Where in Vault the key is, and how to log in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use trunkline_core_types::{InputError, Origin};

/// How to get a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VaultLogin {
    /// A token in hand, used as it is and never renewed: for development, or with a life longer than the process.
    Token(SecretString),
    /// A file with a token that somebody else keeps fresh, such as Vault Agent; read at each call, one newline at its end is trimmed.
    TokenFile(PathBuf),
    /// AppRole. A secret id with a limited number of uses ends with them, so give it enough for a login at each end of the token's
    /// longest life.
    AppRole {
        /// Where the AppRole method is mounted, usually `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret that goes with it.
        secret_id: SecretString,
    },
}

impl VaultLogin {
    /// AppRole, mounted at `mount` (usually `approle`).
    pub fn app_role(mount: impl Into<String>, role_id: impl Into<String>, secret_id: SecretString) -> Self {
        Self::AppRole { mount: mount.into(), role_id: role_id.into(), secret_id }
    }
}

/// Settings of a [`VaultKeys`](crate::VaultKeys).
#[derive(Debug, Clone)]
pub struct VaultSettings {
    address: String,
    mount: String,
    path: String,
    login: VaultLogin,
    field: String,
    id_field: Option<String>,
    namespace: Option<String>,
    ca_file: Option<PathBuf>,
    previous: bool,
}

impl VaultSettings {
    /// The secret at `path` of the KV version 2 engine mounted at `mount`.
    ///
    /// `address` is scheme, host and port, such as `https://vault.example.com:8200`; plain http is accepted on loopback only, and a
    /// path is refused because Vault's client cannot keep it. `path` is as in `vault kv get`, without `data/`.
    pub fn new(
        address: impl Into<String>,
        mount: impl Into<String>,
        path: impl Into<String>,
        login: VaultLogin,
    ) -> Self {
        Self {
            address: address.into(),
            mount: mount.into(),
            path: path.into(),
            login,
            field: "value".to_owned(),
            id_field: None,
            namespace: None,
            ca_file: None,
            previous: false,
        }
    }

    /// The field of the secret that holds the key. Default: `value`.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The field that holds the key's id, for Basic authentication. Default: the key has none.
    #[must_use]
    pub fn with_id_field(mut self, field: impl Into<String>) -> Self {
        self.id_field = Some(field.into());
        self
    }

    /// The namespace, of Vault Enterprise or OpenBao. Default: none.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// A PEM file with certificates that are trusted beside those of the machine. Default: none. Without effect on http.
    #[must_use]
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Also reads the version before the current one, as the previous key, for whoever verifies signatures while the secret rotates.
    /// Default: off. Costs a second request at each fetch. Delete or destroy that version in Vault to end the overlap.
    #[must_use]
    pub fn with_previous(mut self) -> Self {
        self.previous = true;
        self
    }
}

/// Settings that were found usable, and the HTTP client made of them.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) base: String,
    pub(super) http: reqwest::Client,
    pub(super) mount: String,
    pub(super) path: String,
    pub(super) login: VaultLogin,
    pub(super) field: String,
    pub(super) id_field: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) previous: bool,
}

impl Checked {
    pub(super) fn new(given: VaultSettings) -> Result<Self, InputError> {
        let origin = address(&given.address)?;
        named("field", &given.field)?;
        given.id_field.as_deref().map_or(Ok(()), |field| named("id_field", field))?;
        if given.namespace.as_deref().is_some_and(|namespace| !printable(namespace)) {
            return Err(InputError::new("namespace", "must be visible ASCII; write the namespace's path"));
        }
        Ok(Self {
            http: http_client(origin.is_https(), given.ca_file.as_deref())?,
            base: origin.to_string(),
            mount: segments("mount", &given.mount)?,
            path: segments("path", &given.path)?,
            login: login(given.login)?,
            field: given.field,
            id_field: given.id_field,
            namespace: given.namespace,
            previous: given.previous,
        })
    }
}

fn address(text: &str) -> Result<Origin, InputError> {
    let origin: Origin = text.parse().map_err(|error: InputError| error.of("address"))?;
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    if rest.trim_end_matches('/').contains(['/', '?', '#']) {
        return Err(InputError::new("address", "must be scheme, host and port only, without a path"));
    }
    Ok(origin)
}

fn named(setting: &'static str, name: &str) -> Result<(), InputError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(InputError::new(setting, "must be the name of a field of the secret"));
    }
    Ok(())
}

/// Path segments without a slash around them: Vault takes an empty segment for another path.
fn segments(setting: &'static str, text: &str) -> Result<String, InputError> {
    let trimmed = text.trim_matches('/');
    let bad = |segment: &str| matches!(segment, "" | "." | "..") || segment.chars().any(char::is_control);
    if trimmed.split('/').any(bad) {
        return Err(InputError::new(
            setting,
            "must be names joined by single slashes, such as voice/api-key",
        ));
    }
    Ok(trimmed.to_owned())
}

fn login(given: VaultLogin) -> Result<VaultLogin, InputError> {
    match given {
        VaultLogin::Token(token) if !is_token(token.expose_secret()) => Err(InputError::new(
            "token",
            "must be visible ASCII without spaces or line breaks; copy the token alone",
        )),
        VaultLogin::AppRole { mount, role_id, secret_id } => {
            if role_id.is_empty() {
                return Err(InputError::new(
                    "role_id",
                    "is empty; read it from auth/approle/role/NAME/role-id",
                ));
            }
            if secret_id.expose_secret().is_empty() {
                return Err(InputError::new(
                    "secret_id",
                    "is empty; make one at auth/approle/role/NAME/secret-id",
                ));
            }
            Ok(VaultLogin::AppRole { mount: segments("login_mount", &mount)?, role_id, secret_id })
        }
        usable => Ok(usable),
    }
}

/// Whether vaultrs can put it into a header, where it would panic otherwise.
pub(super) fn is_token(text: &str) -> bool {
    text.len() <= 16 * 1024 && printable(text)
}

fn printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A client that follows no redirect: the token would go along to any host.
fn http_client(https: bool, ca_file: Option<&Path>) -> Result<reqwest::Client, InputError> {
    let builder = reqwest::Client::builder()
        .tls_backend_rustls()
        .https_only(https)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .pool_max_idle_per_host(2)
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")));
    let builder = if !https {
        // No proxy between us and loopback, which would see the token; no roots, which a bare container lacks.
        builder.no_proxy().tls_certs_only(Vec::new())
    } else if let Some(path) = ca_file {
        builder.tls_certs_merge(certificates(path)?)
    } else {
        builder
    };
    let unusable = "no TLS client can be made; install the system's root certificates or name a ca_file";
    builder.build().map_err(|_| InputError::new("ca_file", unusable))
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, InputError> {
    let bad = |what: &str| InputError::new("ca_file", format!("{} {what}", path.display()));
    let pem = std::fs::read(path).map_err(|_| bad("cannot be read; check path and permission"))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(bad("holds no PEM certificate; write one or more"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(address: &str, mount: &str, path: &str, login: VaultLogin) -> VaultSettings {
        VaultSettings::new(address, mount, path, login)
    }

    fn token(text: &str) -> VaultLogin {
        VaultLogin::Token(text.into())
    }

    #[test]
    fn bad_settings_are_named_and_hold_no_value() {
        const AT: &str = "http://127.0.0.1:8200";
        let role = |mount: &str, id: &str, secret: &str| VaultLogin::app_role(mount, id, secret.into());
        let good = || given(AT, "kv", "app", token("t"));
        for (settings, field) in [
            (given("", "kv", "app", token("t")), "address"),
            (given("http://vault.example.com:8200", "kv", "app", token("t")), "address"),
            (given("https://vault.example.com/prefix", "kv", "app", token("t")), "address"),
            (given("https://u:canary@vault.example.com", "kv", "app", token("t")), "address"),
            (given("https://vault.example.com/?x=canary", "kv", "app", token("t")), "address"),
            (given(AT, "", "app", token("t")), "mount"),
            (given(AT, "kv", "a//b", token("t")), "path"),
            (given(AT, "kv", "../sys/seal", token("t")), "path"),
            (given(AT, "kv", "a\nb", token("t")), "path"),
            (given(AT, "kv", "app", token("canary\n")), "token"),
            (given(AT, "kv", "app", token("")), "token"),
            (given(AT, "kv", "app", token("canary\u{e9}")), "token"),
            (given(AT, "kv", "app", role("", "id", "canary")), "login_mount"),
            (given(AT, "kv", "app", role("approle", "", "canary")), "role_id"),
            (given(AT, "kv", "app", role("approle", "id", "")), "secret_id"),
            (good().with_field(""), "field"),
            (good().with_id_field("\u{0}"), "id_field"),
            (good().with_namespace("a\nb"), "namespace"),
            (
                given("https://vault.example.com", "kv", "app", token("t")).with_ca_file("/nonexistent"),
                "ca_file",
            ),
        ] {
            let error = Checked::new(settings).unwrap_err();
            assert_eq!(error.field(), field, "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn good_settings_are_normalised_and_redacted() {
        let login = VaultLogin::app_role("/approle/", "role", "canary-secret-id".into());
        let checked =
            Checked::new(given("https://Vault.example.com:8200/", "/kv/", "voice/key/", login)).unwrap();
        assert_eq!(checked.base, "https://vault.example.com:8200");
        assert_eq!((checked.mount.as_str(), checked.path.as_str()), ("kv", "voice/key"));
        assert!(!format!("{checked:?} {:?}", token("canary-token")).contains("canary"));
    }
}

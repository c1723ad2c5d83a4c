//! The real servers and tools that tests use: found, installed or built, and started on free ports.
//!
//! A new one is a module here that implements [`Service`], and its line in [`ALL`].

mod promtool;
mod python;
mod server;
mod vault;

use crate::{files, run};
use anyhow::{Context, Result, bail};
use server::Server;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A server or a tool of the tests.
trait Service {
    fn name(&self) -> &'static str;

    /// Variables through which a test learns of it.
    fn variables(&self) -> &'static [&'static str];

    /// Finds, installs or builds it, and starts it if it is a server.
    fn provide(&self, place: &Place) -> Result<Provided>;
}

const ALL: [&dyn Service; 3] = [&vault::Vault, &promtool::Promtool, &python::Python];

/// Where services live.
struct Place {
    root: PathBuf,
    /// Builds and environments; logs lie in `logs` below it.
    dir: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let root = run::root();
        let dir = root.join("target/services");
        let logs = dir.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Self { root, dir })
    }
}

/// What a service gives: its variables, and the process if there is one.
struct Provided {
    variables: Vec<(&'static str, String)>,
    server: Option<Server>,
}

/// Running services; they end when this is dropped.
pub(crate) struct Running {
    variables: Vec<(&'static str, String)>,
    _servers: Vec<Server>,
}

impl Running {
    /// The environment of the tests.
    pub(crate) fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }
}

/// Starts every service.
pub(crate) fn start() -> Result<Running> {
    start_each(&ALL)
}

/// Starts the services whose variables the sources below `folder` name.
pub(crate) fn start_for(folder: &Path) -> Result<Running> {
    let mut sources = files::below(folder, "rs")?;
    // These sources name every variable and use none.
    sources.retain(|file| !file.starts_with(env!("CARGO_MANIFEST_DIR")));
    let texts = sources.iter().map(|file| files::read(file)).collect::<Result<Vec<_>>>()?;
    let named = |service: &&dyn Service| {
        service.variables().iter().any(|variable| texts.iter().any(|text| text.contains(variable)))
    };
    start_each(&ALL.into_iter().filter(named).collect::<Vec<_>>())
}

fn start_each(services: &[&dyn Service]) -> Result<Running> {
    let place = Place::new()?;
    let mut running = Running { variables: Vec::new(), _servers: Vec::new() };
    for service in services {
        let provided = service.provide(&place).with_context(|| format!("service {}", service.name()))?;
        if provided.variables.iter().map(|(name, _)| name).ne(service.variables()) {
            bail!("service {} does not give the variables that it announces", service.name());
        }
        running.variables.extend(provided.variables);
        running._servers.extend(provided.server);
    }
    Ok(running)
}

/// Starts every service, prints the variables as one JSON line, and stays up until stdin closes.
pub(crate) fn run() -> Result<()> {
    let running = start()?;
    println!("{}", line(running.variables()));
    eprintln!("services are up; end with Ctrl-C or by closing stdin");
    io::copy(&mut io::stdin().lock(), &mut io::sink()).context("cannot read stdin")?;
    Ok(())
}

fn line(variables: &[(&str, String)]) -> serde_json::Value {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(value.as_str())))
        .collect()
}

/// The file that the environment names, if it names one.
fn file_from_environment(variable: &str) -> Result<Option<PathBuf>> {
    let Some(file) = std::env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
    if !file.is_file() {
        bail!("{variable} is set, but {} is not a file: correct it or unset it", file.display());
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_json_object() {
        let line = line(&[("A", "http://127.0.0.1:1".into()), ("B", "x\"y".into())]).to_string();
        assert_eq!(line, r#"{"A":"http://127.0.0.1:1","B":"x\"y"}"#);
    }

    #[test]
    fn no_variable_is_given_twice() {
        let mut names: Vec<_> = ALL.iter().flat_map(|service| service.variables()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("TRUNKLINE_TEST_")), "{names:?}");
    }
}

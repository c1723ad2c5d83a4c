//! `trunkline.toml`: known names with plain values, and never a secret.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Env;
use super::names::{SECRETS, SETTINGS, nearest};
use crate::exit::Problem;

/// The settings of one file.
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    pub(super) values: BTreeMap<&'static str, String>,
}

/// The largest file of settings, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
const DEFAULT: &str = "trunkline.toml";

/// Reads the file that the flag or `TRUNKLINE_CONFIG` names, which must exist, or `trunkline.toml`, which need not.
pub(super) fn load(named: Option<&Path>, env: Env<'_>) -> Result<Option<SettingsFile>, Problem> {
    let named = named
        .map(PathBuf::from)
        .or_else(|| env("TRUNKLINE_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| DEFAULT.into());
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > MAX_BYTES => Err(unusable(&path, "is larger than 64 KiB")),
        Ok(_) => parse(&text, path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(unusable(&path, &format!("cannot be read; check path and permission: {error}"))),
    }
}

pub(super) fn parse(text: &str, path: PathBuf) -> Result<SettingsFile, Problem> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        // Never the line itself: a secret may stand in it.
        let line =
            error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|&b| b == b'\n').count());
        unusable(&path, &format!("is not TOML, line {line}: write name = \"value\""))
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in &table {
        let name = known(key, &path)?;
        values.insert(name, plain(name, value)?);
    }
    Ok(SettingsFile { path, values })
}

fn known(key: &str, path: &Path) -> Result<&'static str, Problem> {
    if let Some(secret) = SECRETS.iter().find(|secret| secret.name == key) {
        let (variable, instead) = (secret.variable, secret.instead);
        let problem = format!(
            "a secret does not belong into {}; put it into {variable}, or into a file named by {instead}",
            path.display()
        );
        return Err(Problem::input(key, problem));
    }
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) {
        return Ok(setting.name);
    }
    // A key can be anything, so it is told only where it looks like a name and not like a number.
    let plain = key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let plain = plain && key.bytes().filter(u8::is_ascii_digit).count() < 5;
    let told = if plain { key } else { "a name" };
    let near = nearest(key).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(Problem::input(told, format!("not a setting, in {}{near}", path.display())))
}

fn plain(name: &'static str, value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err(Problem::input(name, "must be a text or a number")),
    }
}

fn unusable(path: &Path, what: &str) -> Problem {
    Problem::input("config", format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Problem {
        parse(text, DEFAULT.into()).err().unwrap()
    }

    #[test]
    fn a_slip_is_told_the_nearest_name() {
        let slip = problem("base_ulr = \"https://voice.example.com\"");
        assert_eq!(
            slip.to_string(),
            "error: base_ulr: not a setting, in trunkline.toml; did you mean base_url?"
        );
        assert_eq!(problem("sky = 1").to_string(), "error: sky: not a setting, in trunkline.toml");
        assert_eq!(problem("14155550123 = 1").to_string(), "error: a name: not a setting, in trunkline.toml");
    }

    #[test]
    fn a_secret_is_sent_to_its_place_and_not_shown() {
        for (name, variable) in [
            ("api_key", "TRUNKLINE_API_KEY"),
            ("signing_secret", "TRUNKLINE_SIGNING_SECRET"),
            ("vault_token", "TRUNKLINE_VAULT_TOKEN"),
            ("vault_secret_id", "TRUNKLINE_VAULT_SECRET_ID"),
        ] {
            let refused = problem(&format!("{name} = \"canary\""));
            assert_eq!(refused.field(), Some(name));
            assert!(
                refused.to_string().contains(variable) && !refused.to_string().contains("canary"),
                "{refused}"
            );
            assert!(!format!("{refused:?}").contains("canary"));
        }
    }

    #[test]
    fn a_line_that_is_not_toml_is_numbered_and_not_shown() {
        let refused = problem("provider = \"claude\"\napi_key = canary\n");
        assert_eq!(
            refused.to_string(),
            "error: config: trunkline.toml is not TOML, line 2: write name = \"value\""
        );
    }

    #[test]
    fn only_text_and_numbers_are_values() {
        assert_eq!(problem("pace = [1]").field(), Some("pace"));
        assert_eq!(problem("[provider]\nname = 1").field(), Some("provider"));
        let file = parse("pace = 5\ntimeout = 2.5\naccount = \"main\"", DEFAULT.into()).ok().unwrap();
        assert_eq!(
            file.values.into_iter().collect::<Vec<_>>(),
            [("account", "main".into()), ("pace", "5".into()), ("timeout", "2.5".into())]
        );
    }

    #[test]
    fn a_named_file_must_exist_and_the_usual_one_need_not() {
        let nowhere = Path::new("/nonexistent/trunkline.toml");
        assert_eq!(load(Some(nowhere), &|_| None).err().unwrap().field(), Some("config"));
        assert!(load(None, &|_| Some("/nonexistent/x.toml".into())).is_err());
        assert!(load(None, &|_| None).ok().unwrap().is_none());
    }
}

//! Settings: flags, then the environment, then `trunkline.toml`; each has one name in all three.
//!
//! No value of a secret is ever held here, only where it is kept.

mod file;
mod flags;
mod keys;
mod merge;
mod names;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use trunkline::{E164, InputError, Rate};

use crate::exit::Problem;
use merge::Found;

pub(crate) use flags::Flags;
pub(crate) use keys::{ChosenKeys, KeyPlan};
pub(crate) use merge::Whence;
pub(crate) use names::slips;

/// How settings read the environment; injected, so that tests need none.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What `call` and `doctor` work with.
pub(crate) struct Settings {
    /// Name of the provider. Default: `claude`.
    pub(crate) provider: String,
    /// Name of the account. Default: `main`.
    pub(crate) account: String,
    /// Where the provider's API is.
    pub(crate) base_url: Option<String>,
    /// Caller id. Default: the account's own.
    pub(crate) from: Option<E164>,
    /// Starts a second. Default: the provider's for a new account.
    pub(crate) pace: Option<Rate>,
    /// Time for one operation with all waits and repeats. Default: 30 s.
    pub(crate) timeout: Option<Duration>,
    /// How long the provider may act on a create. Default: the provider's own.
    pub(crate) processing_delay: Option<Duration>,
    /// Certificates trusted beside the machine's own.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where metrics are served. Default: nowhere.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Where the API key and the signing secret are kept.
    pub(crate) keys: KeyPlan,
    /// Which settings were found, and where, in the order of the table.
    pub(crate) found: Vec<(&'static str, Whence)>,
}

impl Settings {
    /// Reads the three places and checks every value.
    pub(crate) fn load(flags: &Flags, env: Env<'_>) -> Result<Self, Problem> {
        let file = file::load(flags.config(), env)?;
        Self::from_found(&Found::gather(flags, env, file.as_ref())?, env)
    }

    fn from_found(found: &Found, env: Env<'_>) -> Result<Self, Problem> {
        Ok(Self {
            provider: found.text("provider").unwrap_or("claude").to_owned(),
            account: found.text("account").unwrap_or("main").to_owned(),
            base_url: found.text("base_url").map(str::to_owned),
            from: found
                .parsed("from", |text| text.parse().map_err(|error: InputError| error.of("from").into()))?,
            pace: found.parsed("pace", pace)?,
            timeout: found.parsed("timeout", |text| seconds("timeout", text))?,
            processing_delay: found.parsed("processing_delay", |text| seconds("processing_delay", text))?,
            ca_file: found.text("ca_file").map(PathBuf::from),
            metrics_listen: found.parsed("metrics_listen", listen)?,
            keys: KeyPlan::new(found, env)?,
            found: found.places(),
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("provider", &self.provider)
            .field("account", &self.account)
            .field("from", &self.from)
            .field("keys", &self.keys)
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

/// `N` starts a second, or `N/S`: N in S seconds.
fn pace(text: &str) -> Result<Rate, Problem> {
    let bad = || {
        Problem::input(
            "pace",
            "must be a whole number of starts a second, or N/S for N starts in S seconds, such as 1/5",
        )
    };
    let (count, period) = text.split_once('/').unwrap_or((text, "1"));
    let count: NonZeroU32 = count.trim().parse().map_err(|_| bad())?;
    let period = period.trim().parse().map_err(|_| bad())?;
    Rate::new(count, Duration::from_secs(period)).map_err(|_| bad())
}

/// Seconds, with a fraction if need be; above zero, at most a day.
fn seconds(field: &'static str, text: &str) -> Result<Duration, Problem> {
    let time = text.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero() && *time <= Duration::from_secs(86_400)).ok_or_else(|| {
        Problem::input(field, "must be a number of seconds above 0 and up to 86400, such as 2.5")
    })
}

fn listen(text: &str) -> Result<SocketAddr, Problem> {
    text.trim().parse().map_err(|_| {
        Problem::input("metrics_listen", "must be an address and a port, such as 127.0.0.1:9464")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn env_of(
        pairs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<OsString> {
        move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
    }

    fn load(
        flags: &Flags,
        env: &'static [(&'static str, &'static str)],
        toml: &str,
    ) -> Result<Settings, Problem> {
        let file = file::parse(toml, "trunkline.toml".into())?;
        let env = env_of(env);
        Settings::from_found(&Found::gather(flags, &env, Some(&file))?, &env)
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file() {
        let toml = "base_url = \"https://file.example\"\naccount = \"file\"\nprovider = \"file\"\npace = 7\n";
        let env = &[("TRUNKLINE_BASE_URL", "https://env.example"), ("TRUNKLINE_ACCOUNT", "env")];
        let settings = load(&Flags::of(&[("base_url", "https://flag.example")]), env, toml).unwrap();
        assert_eq!(settings.base_url.as_deref(), Some("https://flag.example"));
        assert_eq!((settings.account.as_str(), settings.provider.as_str()), ("env", "file"));
        assert_eq!(settings.pace.unwrap().to_string(), "7/s");
        let whence: Vec<_> =
            settings.found.iter().map(|(name, whence)| format!("{name}: {whence}")).collect();
        assert_eq!(
            whence,
            [
                "provider: trunkline.toml",
                "account: TRUNKLINE_ACCOUNT",
                "base_url: --base-url",
                "pace: trunkline.toml"
            ]
        );
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        let settings = load(&Flags::default(), &[("TRUNKLINE_BASE_URL", "")], "").unwrap();
        assert_eq!((settings.provider.as_str(), settings.account.as_str()), ("claude", "main"));
        assert!(settings.base_url.is_none() && settings.found.is_empty());
    }

    #[test]
    fn bad_values_name_their_setting_and_not_themselves() {
        for (name, value) in [
            ("from", "4155550199"),
            ("pace", "0"),
            ("pace", "1/0"),
            ("pace", "fast"),
            ("timeout", "-1"),
            ("timeout", "0"),
            ("timeout", "canary"),
            ("timeout", "NaN"),
            ("timeout", "86401"),
            ("metrics_listen", "localhost"),
        ] {
            let problem = load(&Flags::of(&[(name, value)]), &[], "").unwrap_err();
            assert_eq!(problem.field(), Some(name), "{value}");
            assert!(value.len() < 5 || !problem.to_string().contains(value), "{problem}");
        }
    }

    #[test]
    fn good_values_are_read() {
        let flags = Flags::of(&[("pace", "1/5"), ("timeout", "2.5"), ("metrics_listen", "127.0.0.1:9464")]);
        let settings = load(&flags, &[], "").unwrap();
        assert_eq!(settings.pace.unwrap().interval(), Duration::from_secs(5));
        assert_eq!(settings.timeout, Some(Duration::from_millis(2500)));
        assert!(settings.metrics_listen.is_some());
    }

    #[test]
    fn debug_shows_neither_secret_nor_number() {
        let env = &[("TRUNKLINE_API_KEY", "canary-key"), ("TRUNKLINE_SIGNING_SECRET", "canary-secret")];
        let flags =
            Flags::of(&[("from", "+14155550123"), ("base_url", "https://voice.example.com/?q=canary-query")]);
        let settings = load(&flags, env, "").unwrap();
        for shown in [format!("{settings:?}"), format!("{flags:?}")] {
            assert!(!shown.contains("canary") && !shown.contains("4155550"), "{shown}");
        }
    }
}

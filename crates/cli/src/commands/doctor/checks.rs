//! The list of checks. A new one is a function and a line in [`CHECKS`].

use std::time::{Duration, SystemTime};

use http::header::DATE;
use serde::{Serialize, Serializer};
use trunkline::Rate;

use super::ground::{Answer, Ground, KeyFound};
use crate::exit::{Exit, Problem};
use crate::settings::Whence;

/// What a check says.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) check: &'static str,
    #[serde(rename = "result")]
    pub(super) verdict: Verdict,
    pub(super) says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail(Exit),
    /// Could not be looked at because of a failure above it.
    Skip,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail(_) => "fail",
            Self::Skip => "skip",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// In the order in which they are told.
pub(super) const CHECKS: [fn(&Ground) -> Line; 8] =
    [settings, api_key, signing_secret, base_url, provider, clock, pace, start_tolerance];

/// Beyond it a body signed with a time, or a token, may be refused.
const CLOCK_OFF: Duration = Duration::from_secs(5);
/// How much later than its slot a call may start; the default of an account.
const TOLERANCE: Duration = Duration::from_millis(50);

impl Line {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Self { check, verdict, says: says.into(), fix: None }
    }

    fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(fix.to_owned());
        self
    }

    /// A variable that nobody reads.
    pub(super) fn slip(slip: &str, meant: &str) -> Self {
        let line =
            Self::new("variables", Verdict::Warn, format!("{slip} is not a setting and counts for nothing"));
        line.fix(&format!("did you mean {meant}?"))
    }

    /// What cannot be reached says itself where to look; other problems come with their advice.
    pub(super) fn failed(check: &'static str, problem: &Problem) -> Self {
        let (exit, advice) = match problem.exit() {
            Exit::Unsent => (Exit::Unsent, None),
            Exit::Input => (Exit::Input, problem.advice()),
            _ => (Exit::Unsent, problem.advice()),
        };
        Self { fix: advice.map(str::to_owned), ..Self::new(check, Verdict::Fail(exit), problem.message()) }
    }
}

fn settings(ground: &Ground) -> Line {
    let mut places: Vec<(&Whence, Vec<&str>)> = Vec::new();
    for (name, whence) in &ground.settings.found {
        match places.iter_mut().find(|(place, _)| *place == whence) {
            Some((_, names)) => names.push(name),
            None => places.push((whence, vec![name])),
        }
    }
    let from: Vec<_> =
        places.iter().map(|(place, names)| format!("{} from {place}", names.join(", "))).collect();
    let says = if from.is_empty() { "none given, all at their defaults".to_owned() } else { from.join("; ") };
    Line::new("settings", Verdict::Ok, says)
}

fn api_key(ground: &Ground) -> Line {
    key("API key", &ground.api_key)
}

fn signing_secret(ground: &Ground) -> Line {
    match &ground.signing {
        Some(found) => key("signing secret", found),
        None => Line::new("signing secret", Verdict::Warn, "none, so bodies are not signed")
            .fix("set TRUNKLINE_SIGNING_SECRET or signing_secret_file if the account requires X-Signature"),
    }
}

fn key(check: &'static str, found: &Result<KeyFound, Problem>) -> Line {
    match found {
        Ok(found) => Line::new(check, Verdict::Ok, format!("version {} from {}", found.version, found.store)),
        Err(problem) => Line::failed(check, problem),
    }
}

fn base_url(ground: &Ground) -> Line {
    match &ground.provider {
        Ok(provider) => Line::new(
            "base URL",
            Verdict::Ok,
            format!("{} speaks {}", provider.origin(), provider.profile().name),
        ),
        Err(problem) => Line::failed("base URL", problem),
    }
}

fn provider(ground: &Ground) -> Line {
    match &ground.answer {
        Some(Ok(_)) => Line::new("provider", Verdict::Ok, "answers a signed read"),
        Some(Err(problem)) if problem.exit() == Exit::Rejected => {
            // It can be reached, so what it refuses is a setting.
            Line { verdict: Verdict::Fail(Exit::Input), ..Line::failed("provider", problem) }
        }
        Some(Err(problem)) => Line::failed("provider", problem),
        None => Line::new("provider", Verdict::Skip, "not asked: a key or the address is missing"),
    }
}

fn clock(ground: &Ground) -> Line {
    match &ground.answer {
        Some(Ok(answer)) => clock_against(answer),
        _ => Line::new("clock", Verdict::Skip, "not compared: the provider gave no answer"),
    }
}

fn clock_against(answer: &Answer) -> Line {
    let Some(theirs) = date(answer) else {
        return Line::new("clock", Verdict::Warn, "not compared: the answer has no Date header");
    };
    let (off, side) = match answer.at.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    // The header has whole seconds.
    let says = format!("{} s {side} the provider's", off.as_secs());
    if off <= CLOCK_OFF {
        return Line::new("clock", Verdict::Ok, says);
    }
    Line::new("clock", Verdict::Warn, says)
        .fix("synchronise this machine's clock (NTP): signatures and tokens carry times")
}

fn date(answer: &Answer) -> Option<SystemTime> {
    let text = answer.headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| SystemTime::from(date.timestamp()))
}

fn pace(ground: &Ground) -> Line {
    let Ok(provider) = &ground.provider else {
        return Line::new("pace", Verdict::Skip, "not compared: the provider is not known");
    };
    let profile = provider.profile();
    let pace = ground.settings.pace.unwrap_or(profile.default_pace);
    if is_above(pace, profile.ceiling) {
        return Line::new(
            "pace",
            Verdict::Fail(Exit::Input),
            format!("{pace} is above the ceiling of {}, {}", profile.name, profile.ceiling),
        )
        .fix("lower the setting pace");
    }
    Line::new("pace", Verdict::Ok, format!("{pace}, the ceiling of {} is {}", profile.name, profile.ceiling))
}

fn is_above(pace: Rate, ceiling: Rate) -> bool {
    let per_second = |rate: Rate| f64::from(rate.count().get()) / rate.period().as_secs_f64();
    per_second(pace) > per_second(ceiling)
}

fn start_tolerance(ground: &Ground) -> Line {
    let says = format!(
        "timers are up to {:.1} ms late, a call may start {} ms late",
        ground.lateness.as_secs_f64() * 1000.0,
        TOLERANCE.as_millis()
    );
    if ground.lateness * 2 <= TOLERANCE {
        return Line::new("start tolerance", Verdict::Ok, says);
    }
    Line::new("start tolerance", Verdict::Warn, says)
        .fix("this machine is busy: late permits are refused and cost pace; give it more CPU")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    fn answer(date: &'static str, seconds: u64) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static(date));
        Answer { headers, at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    #[test]
    fn the_clock_may_be_five_seconds_off() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (seconds, verdict, side) in [
            (784_111_777, Verdict::Ok, "0 s ahead of"),
            (784_111_782, Verdict::Ok, "5 s ahead of"),
            (784_111_783, Verdict::Warn, "6 s ahead of"),
            (784_111_771, Verdict::Warn, "6 s behind"),
        ] {
            let line = clock_against(&answer(DATE, seconds));
            assert_eq!(line.verdict, verdict, "{seconds}");
            assert!(line.says.starts_with(side), "{}", line.says);
            assert_eq!(line.fix.is_some(), verdict == Verdict::Warn);
        }
        assert_eq!(clock_against(&answer("today", 0)).verdict, Verdict::Warn);
    }

    #[test]
    fn a_failure_keeps_its_side() {
        assert_eq!(Line::failed("x", &Problem::input("pace", "wrong")).verdict, Verdict::Fail(Exit::Input));
        assert_eq!(
            Line::failed("x", &Problem::unsent("no route".into())).verdict,
            Verdict::Fail(Exit::Unsent)
        );
        assert_eq!(Line::failed("x", &Problem::given_up()).verdict, Verdict::Fail(Exit::Unsent));
    }
}

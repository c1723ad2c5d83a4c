//! A call: what to place, and what a provider says of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::{AccountId, E164, IdempotencyKey, InputError, Money, SpokenText, Timestamp, WebUrl};

/// What the person hears.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speech {
    /// A text, spoken by the provider.
    Text(SpokenText),
    /// A recording or call script that the provider fetches.
    Url(WebUrl),
}

/// A call to place. Checked where it is built; `Debug` shows no number and no text.
///
/// ```
/// # use trunkline_core_types::NewCall;
/// # use std::time::Duration;
/// let call = NewCall::say("+14155550123", "Your code is 8 4 2 1")?.ring_timeout(Duration::from_secs(20))?;
/// # Ok::<(), trunkline_core_types::InputError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewCall {
    /// Who is rung.
    pub to: E164,
    /// What is said.
    pub speech: Speech,
    /// The caller id; the account's own if none.
    pub from: Option<E164>,
    /// How long to ring, whole seconds; the provider's default if none.
    pub ring_timeout: Option<Duration>,
    /// The longest conversation, whole seconds; the provider's default if none.
    pub max_duration: Option<Duration>,
    /// Names and values that come back with the call.
    pub tags: Tags,
    /// Where the provider sends events.
    pub callback: Option<WebUrl>,
}

impl NewCall {
    /// A call that speaks a text.
    ///
    /// # Errors
    /// [`InputError`] on `to` or `say`.
    pub fn say(to: &str, text: &str) -> Result<Self, InputError> {
        Ok(Self::new(parse_to(to)?, Speech::Text(text.parse()?)))
    }

    /// A call that plays what a URL answers.
    ///
    /// # Errors
    /// [`InputError`] on `to` or `url`.
    pub fn play(to: &str, url: &str) -> Result<Self, InputError> {
        Ok(Self::new(parse_to(to)?, Speech::Url(url.parse()?)))
    }

    /// A call of checked parts.
    pub fn new(to: E164, speech: Speech) -> Self {
        let tags = Tags::default();
        Self { to, speech, from: None, ring_timeout: None, max_duration: None, tags, callback: None }
    }

    /// The caller id.
    ///
    /// # Errors
    /// [`InputError`] on `from`.
    pub fn from_number(mut self, from: &str) -> Result<Self, InputError> {
        self.from = Some(from.parse().map_err(|error: InputError| error.of("from"))?);
        Ok(self)
    }

    /// How long to ring: 5 to 600 s, whole seconds.
    ///
    /// # Errors
    /// [`InputError`] on `ring_timeout`.
    pub fn ring_timeout(mut self, time: Duration) -> Result<Self, InputError> {
        self.ring_timeout = Some(whole_seconds("ring_timeout", time, 5, 600)?);
        Ok(self)
    }

    /// The longest conversation: 1 s to 24 h, whole seconds.
    ///
    /// # Errors
    /// [`InputError`] on `max_duration`.
    pub fn max_duration(mut self, time: Duration) -> Result<Self, InputError> {
        self.max_duration = Some(whole_seconds("max_duration", time, 1, 86_400)?);
        Ok(self)
    }

    /// One more tag.
    ///
    /// # Errors
    /// [`InputError`] on `tags`.
    pub fn tag(mut self, name: &str, value: &str) -> Result<Self, InputError> {
        self.tags.insert(name, value)?;
        Ok(self)
    }

    /// Where the provider sends events.
    ///
    /// # Errors
    /// [`InputError`] on `callback`.
    pub fn callback(mut self, url: &str) -> Result<Self, InputError> {
        self.callback = Some(url.parse().map_err(|error: InputError| error.of("callback"))?);
        Ok(self)
    }
}

fn parse_to(to: &str) -> Result<E164, InputError> {
    to.parse().map_err(|error: InputError| error.of("to"))
}

fn whole_seconds(field: &'static str, time: Duration, min: u64, max: u64) -> Result<Duration, InputError> {
    if time.subsec_nanos() != 0 || !(min..=max).contains(&time.as_secs()) {
        return Err(InputError::new(field, format!("must be {min} to {max} whole seconds; got {time:?}")));
    }
    Ok(time)
}

/// Up to 16 names with values: names of 1 to 64 characters, values of up to 256. `Debug` shows how many.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<Box<str>, Box<str>>);

impl Tags {
    /// The most tags of a call.
    pub const MAX: usize = 16;

    /// Adds a tag, or replaces the value of one that is there.
    ///
    /// # Errors
    /// [`InputError`] on `tags`.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), InputError> {
        let bad = |problem| Err(InputError::new("tags", problem));
        if !(1..=64).contains(&name.chars().count()) || value.chars().count() > 256 {
            return bad("a name takes 1 to 64 characters, a value up to 256");
        }
        if name.chars().chain(value.chars()).any(char::is_control) {
            return bad("no control characters in names and values");
        }
        if self.0.len() >= Self::MAX && !self.0.contains_key(name) {
            return bad("at most 16 tags");
        }
        self.0.insert(name.into(), value.into());
        Ok(())
    }

    /// The tags in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tags({})", self.0.len())
    }
}

/// What an id may hold, a look-up a byte: an id is read with each reply.
static ID_BYTES: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        byte += 1;
    }
    plain
};

/// A provider's id of a call: 1 to 128 of `A-Z a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Arc<str>);

impl CallId {
    /// The id as it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallId {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| ID_BYTES[usize::from(byte)]);
        fits.then(|| Self(text.into()))
            .ok_or_else(|| InputError::new("call_id", "must be 1 to 128 of A-Z a-z 0-9 _ -"))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which call, through which account: what `get` and `hang_up` take. As text `account/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallRef {
    /// The account that placed it.
    pub account: AccountId,
    /// The provider's id.
    pub id: CallId,
}

impl FromStr for CallRef {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let (account, id) = text
            .split_once('/')
            .ok_or_else(|| InputError::new("call", "must be account/call_id, as `place` gave it"))?;
        Ok(Self { account: account.parse()?, id: id.parse()? })
    }
}

impl fmt::Display for CallRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.id)
    }
}

/// Where a call stands. Ordered steps: queued, ringing, answered, then one of the ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallStatus {
    /// Waits at the provider.
    Queued,
    /// The phone rings.
    Ringing,
    /// Somebody, or something, answered.
    Answered,
    /// Ended after an answer.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The person refused the call.
    Declined,
    /// Hung up by us before an answer.
    Canceled,
    /// Could not be delivered.
    Failed,
    /// A word of the provider that we do not know, kept as it came.
    Unknown(String),
}

impl CallStatus {
    /// The neutral word, or the provider's own for an unknown status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Unknown(word) => word,
        }
    }

    /// Whether the call is over. An unknown status is not taken for an end.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::Answered | Self::Unknown(_))
    }
}

impl FromStr for CallStatus {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "queued" => Self::Queued,
            "ringing" => Self::Ringing,
            "answered" => Self::Answered,
            "completed" => Self::Completed,
            "busy" => Self::Busy,
            "no_answer" => Self::NoAnswer,
            "declined" => Self::Declined,
            "canceled" => Self::Canceled,
            "failed" => Self::Failed,
            unknown => Self::Unknown(unknown.to_owned()),
        })
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The provider's id.
    pub id: CallId,
    /// Where it stands.
    pub status: CallStatus,
    /// Who is rung, where the reply says so.
    pub to: Option<E164>,
    /// When it was created, where the reply says so.
    pub created: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Seconds of conversation, once it ended.
    pub duration: Option<Duration>,
    /// The price so far, where the reply says so.
    pub cost: Option<Money>,
    /// The key it was placed under, where a look-up shows it.
    pub key: Option<IdempotencyKey>,
}

impl Call {
    /// A call of which only id and status are known.
    pub fn new(id: CallId, status: CallStatus) -> Self {
        Self { id, status, to: None, created: None, ended: None, duration: None, cost: None, key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_name_the_field_and_not_the_value() {
        let call = || NewCall::say("+14155550123", "hello").unwrap();
        let errors = [
            (NewCall::say("4155550199", "hello").unwrap_err(), "to"),
            (NewCall::say("+14155550123", " ").unwrap_err(), "say"),
            (NewCall::play("+14155550123", "http://example.com").unwrap_err(), "url"),
            (call().from_number("4155550199").unwrap_err(), "from"),
            (call().ring_timeout(Duration::from_secs(4)).unwrap_err(), "ring_timeout"),
            (call().ring_timeout(Duration::from_millis(5500)).unwrap_err(), "ring_timeout"),
            (call().max_duration(Duration::from_secs(86_401)).unwrap_err(), "max_duration"),
            (call().tag("", "x").unwrap_err(), "tags"),
            (call().callback("nowhere").unwrap_err(), "callback"),
        ];
        for (error, field) in errors {
            assert_eq!(error.field(), field, "{error}");
            assert!(!error.to_string().contains("4155550199"), "{error}");
        }
    }

    #[test]
    fn debug_of_a_call_shows_no_number_text_or_tag() {
        let call = NewCall::say("+14155550123", "code 8421").unwrap().tag("who", "canary").unwrap();
        let shown = format!("{call:?}");
        assert!(!["4155550", "8421", "canary"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    const KNOWN: [(CallStatus, &str); 9] = [
        (CallStatus::Queued, "queued"),
        (CallStatus::Ringing, "ringing"),
        (CallStatus::Answered, "answered"),
        (CallStatus::Completed, "completed"),
        (CallStatus::Busy, "busy"),
        (CallStatus::NoAnswer, "no_answer"),
        (CallStatus::Declined, "declined"),
        (CallStatus::Canceled, "canceled"),
        (CallStatus::Failed, "failed"),
    ];

    #[test]
    fn every_known_status_is_its_word_both_ways() {
        for (status, word) in KNOWN {
            assert_eq!((status.as_str(), word.parse()), (word, Ok(status.clone())));
        }
    }

    #[test]
    fn seventeen_tags_are_too_many() {
        let mut tags = Tags::default();
        (0..Tags::MAX).for_each(|n| tags.insert(&n.to_string(), "").unwrap());
        assert!(tags.insert("0", "again").is_ok());
        assert!(tags.insert("one more", "").is_err());
    }

    proptest! {
        #[test]
        fn every_unknown_status_survives_its_word(word in "[a-z_-]{0,20}") {
            let status: CallStatus = word.parse().unwrap();
            prop_assert_eq!(status.as_str(), &word[..]);
            prop_assert_eq!(matches!(status, CallStatus::Unknown(_)), !KNOWN.iter().any(|(_, known)| *known == word));
        }

        #[test]
        fn call_refs_survive_their_text(account in "[a-z0-9_-]{1,64}", id in "[A-Za-z0-9_-]{1,128}") {
            let text = format!("{account}/{id}");
            prop_assert_eq!(text.parse::<CallRef>().unwrap().to_string(), text);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = (text.parse::<CallRef>(), text.parse::<CallId>(), NewCall::say(&text, &text), NewCall::play(&text, &text));
        }
    }
}

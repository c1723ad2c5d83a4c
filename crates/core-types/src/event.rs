//! What a provider tells of a call while it lives, and the pure fold of it: any order and any duplicates give the same state.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::{Call, CallStatus, IdempotencyKey, InputError, Money, Source, Timestamp};

/// A provider's id of one event, the same on every repeat of it: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The longest id, in characters.
    pub const MAX: usize = 128;

    /// The id as it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
            .ok_or_else(|| InputError::new("event_id", "must be 1 to 128 visible ASCII characters"))
    }
}

/// One verified event of a call. `Debug` shows no body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallEvent {
    /// The event's own id: a repeat has the same one and says the same.
    pub id: EventId,
    /// When it happened, by the provider's clock.
    pub created: Timestamp,
    /// The call as the event describes it, with price and duration where it says them.
    pub call: Call,
    /// The key that the call was placed under, from the signed part of the event.
    pub key: Option<IdempotencyKey>,
    /// The call as the body of a 200 reply that [`Provider::read_call`](crate::Provider::read_call) reads: what a journal keeps. Empty
    /// where the provider's events hold no such thing.
    pub body: Bytes,
}

impl CallEvent {
    /// An event without a key and without a body.
    pub fn new(id: EventId, created: Timestamp, call: Call) -> Self {
        Self { id, created, call, key: None, body: Bytes::new() }
    }
}

impl fmt::Debug for CallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallEvent")
            .field("id", &self.id)
            .field("created", &self.created)
            .field("call", &self.call)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

const END: u8 = 4;

impl CallStatus {
    /// Its place in a call's life: 0 unknown, 1 queued, 2 ringing, 3 answered, 4 every end. A copy of a call never goes to a lower one.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Unknown(_) => 0,
            Self::Queued => 1,
            Self::Ringing => 2,
            Self::Answered => 3,
            _ => END,
        }
    }
}

/// The state of a call as folded from its events.
///
/// The status of the highest [rank](CallStatus::rank) holds, never the one that arrived last. Within one rank the event that was
/// created last holds, but of two ends the one that was created first: a later end never undoes an earlier one. Price, duration and
/// end come each from the highest event that has them. So any order and any duplicates of the same events give the same state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallState {
    status: Option<(Mark, CallStatus)>,
    ended: Option<(Mark, Timestamp)>,
    duration: Option<(Mark, Duration)>,
    cost: Option<(Mark, Money)>,
}

/// Where an event stands among all events of its call. Total, so that nothing depends on the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    rank: u8,
    created: Timestamp,
    word: Box<str>,
    id: EventId,
}

impl Ord for Mark {
    fn cmp(&self, other: &Self) -> Ordering {
        let time = self.created.cmp(&other.created);
        let time = if self.rank == END { time.reverse() } else { time };
        let same = || self.word.cmp(&other.word).then_with(|| self.id.cmp(&other.id));
        self.rank.cmp(&other.rank).then(time).then_with(same)
    }
}

impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl CallState {
    /// Of a call of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds an event in; whether it changed anything. The caller sees to it that the event is of this call.
    pub fn fold(&mut self, event: &CallEvent) -> bool {
        let (status, word) = (&event.call.status, event.call.status.as_str().into());
        let mark = Mark { rank: status.rank(), created: event.created, word, id: event.id.clone() };
        // Each of them is raised, so no short cut.
        raise(&mut self.status, &mark, Some(status))
            | raise(&mut self.ended, &mark, event.call.ended.as_ref())
            | raise(&mut self.duration, &mark, event.call.duration.as_ref())
            | raise(&mut self.cost, &mark, event.call.cost.as_ref())
    }

    /// Where the call stands; `None` before the first event.
    pub fn status(&self) -> Option<&CallStatus> {
        self.status.as_ref().map(|(_, status)| status)
    }

    /// Whether the call is over.
    pub fn is_over(&self) -> bool {
        self.status().is_some_and(CallStatus::is_final)
    }

    /// When the event happened that the status is from.
    pub fn since(&self) -> Option<Timestamp> {
        self.status.as_ref().map(|(mark, _)| mark.created)
    }

    /// When it ended, where an event said so.
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended.as_ref().map(|(_, at)| *at)
    }

    /// Seconds of conversation, where an event said so.
    pub fn duration(&self) -> Option<Duration> {
        self.duration.as_ref().map(|(_, time)| *time)
    }

    /// The price so far, where an event said so.
    pub fn cost(&self) -> Option<Money> {
        self.cost.as_ref().map(|(_, cost)| *cost)
    }
}

fn raise<T: Clone>(slot: &mut Option<(Mark, T)>, mark: &Mark, value: Option<&T>) -> bool {
    let Some(value) = value else { return false };
    let higher = slot.as_ref().is_none_or(|(known, _)| mark > known);
    #[cfg(trunkline_mutation)]
    let higher = higher || crate::Mutation::EventOrder.is_on();
    if higher {
        *slot = Some((mark.clone(), value.clone()));
    }
    higher
}

/// Why a callback was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebhookErrorKind {
    /// The signature is missing, doubled or wrong: nobody knows who sent it.
    Signature,
    /// Signed, but too old or too far ahead to be taken.
    Stale,
    /// Signed, but not an event of the contract.
    Unreadable,
    /// This provider, or this account's settings, have no callbacks.
    Unsupported,
    /// No such account.
    Account,
    /// The signing key or the journal did not answer: the sender may repeat it later.
    Unavailable,
}

impl WebhookErrorKind {
    /// A label from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Account => "account",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A callback that was not taken. Never holds a value of the request or of a key.
#[derive(Debug, Clone, thiserror::Error)]
#[error("callback refused, {}: {message}", kind.as_str())]
pub struct WebhookError {
    kind: WebhookErrorKind,
    message: Box<str>,
    source: Option<Source>,
}

impl WebhookError {
    /// An error whose message names the field and the shape of its value, never the value.
    pub fn new(kind: WebhookErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// With a cause, which must not print a value either.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Source::new(source));
        self
    }

    /// Why, for callers who branch.
    pub fn kind(&self) -> WebhookErrorKind {
        self.kind
    }

    /// What to answer the sender: 401 for a signature, 503 where a repeat may help, 404 or 501 for what is not there, else 400.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            WebhookErrorKind::Signature => StatusCode::UNAUTHORIZED,
            WebhookErrorKind::Stale | WebhookErrorKind::Unreadable => StatusCode::BAD_REQUEST,
            WebhookErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            WebhookErrorKind::Account => StatusCode::NOT_FOUND,
            WebhookErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;
    use proptest::prelude::*;
    use std::time::SystemTime;

    const WORDS: [&str; 11] = [
        "queued",
        "ringing",
        "answered",
        "completed",
        "busy",
        "no_answer",
        "declined",
        "canceled",
        "failed",
        "on_hold",
        "transferred",
    ];

    fn event(id: usize, second: u64, word: &str, extra: Option<u64>) -> CallEvent {
        let at = |second| Timestamp::try_from(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
        let mut call = Call::new("call_1".parse().unwrap(), word.parse().unwrap());
        call.cost = extra.map(|n| Money::parse(&n.to_string(), Currency::USD).unwrap());
        call.duration = extra.map(Duration::from_secs);
        call.ended = extra.filter(|_| call.status.is_final()).map(at);
        CallEvent::new(format!("evt_{id}").parse().unwrap(), at(second), call)
    }

    fn folded<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> CallState {
        let mut state = CallState::new();
        events.into_iter().for_each(|event| {
            state.fold(event);
        });
        state
    }

    fn status(events: &[CallEvent]) -> String {
        folded(events).status().unwrap().to_string()
    }

    #[test]
    fn the_rank_holds_and_not_the_arrival() {
        let life: Vec<_> =
            WORDS[..4].iter().enumerate().map(|(n, word)| event(n, n as u64, word, None)).collect();
        for count in 1..=life.len() {
            let reversed: Vec<_> = life[..count].iter().rev().cloned().collect();
            assert_eq!(status(&reversed), WORDS[count - 1]);
        }
        assert!(folded(&life).is_over());
    }

    #[test]
    fn a_later_end_never_undoes_an_earlier_one() {
        let ends = [event(1, 5, "completed", Some(7)), event(2, 9, "failed", Some(0))];
        assert_eq!(
            (status(&ends), folded(&ends).duration()),
            ("completed".into(), Some(Duration::from_secs(7)))
        );
        let mut state = folded(&ends);
        assert!(!state.fold(&event(3, 99, "answered", None)));
    }

    #[test]
    fn an_unknown_word_is_kept_and_stands_below_everything_known() {
        assert_eq!(status(&[event(1, 5, "on_hold", None), event(2, 6, "transferred", None)]), "transferred");
        assert_eq!(status(&[event(1, 5, "on_hold", None), event(2, 1, "queued", None)]), "queued");
        assert!(!folded(&[event(1, 5, "on_hold", None)]).is_over());
    }

    #[test]
    fn what_an_event_leaves_out_stays() {
        let state = folded(&[event(1, 1, "queued", Some(3)), event(2, 2, "completed", None)]);
        assert_eq!((state.cost().unwrap().amount(), state.is_over()), ("3".to_owned(), true));
    }

    #[test]
    fn an_event_prints_no_body() {
        let mut event = event(1, 1, "queued", None);
        event.body = Bytes::from_static(b"canary");
        assert!(!format!("{event:?}").contains("canary"));
    }

    #[test]
    fn every_kind_has_a_status_that_makes_the_sender_repeat_or_look() {
        use WebhookErrorKind as K;
        for (kind, code) in [
            (K::Signature, 401),
            (K::Stale, 400),
            (K::Unreadable, 400),
            (K::Unsupported, 501),
            (K::Account, 404),
            (K::Unavailable, 503),
        ] {
            assert_eq!(WebhookError::new(kind, "x").status().as_u16(), code, "{kind:?}");
        }
    }

    fn events() -> impl Strategy<Value = Vec<CallEvent>> {
        let one = (0u64..6, 0..WORDS.len(), proptest::option::of(0u64..4));
        proptest::collection::vec(one, 1..9).prop_map(|drawn| {
            let made = drawn.into_iter().enumerate();
            made.map(|(id, (second, word, extra))| event(id, second, WORDS[word], extra)).collect()
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_duplicates_give_the_same_state(
            (events, shuffled) in events().prop_flat_map(|events| {
                let twice = [events.clone(), events.clone()].concat();
                (Just(events), Just(twice).prop_shuffle())
            }),
            repeats in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let more = repeats.iter().map(|at| at.get(&events));
            let state = folded(shuffled.iter().chain(more));
            prop_assert_eq!(&state, &folded(&events));
            let highest = events.iter().map(|event| event.call.status.rank()).max();
            prop_assert_eq!(state.status().map(CallStatus::rank), highest);
            let first_end = events.iter().filter(|event| event.call.status.is_final()).map(|event| event.created).min();
            if first_end.is_some() {
                prop_assert_eq!(state.since(), first_end);
            }
        }

        #[test]
        fn no_event_lowers_the_rank(events in events()) {
            let mut state = CallState::new();
            for event in &events {
                let before = state.status().map_or(0, CallStatus::rank);
                state.fold(event);
                prop_assert!(state.status().map_or(0, CallStatus::rank) >= before);
            }
        }

        #[test]
        fn ids_are_visible_ascii(text in "\\PC{0,140}") {
            let good = (1..=128).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7e).contains(&b));
            prop_assert_eq!(text.parse::<EventId>().is_ok(), good);
        }
    }
}

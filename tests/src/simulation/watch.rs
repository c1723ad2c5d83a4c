//! What the journal was told of each call, and whether each step fits it and the provider's book.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_core_types::{Claim, Class, Scope};

use super::findings::Invariant;
use super::process::Pid;

/// A step that must not be, in words.
pub(super) type Wrong = (Invariant, String);

#[derive(Debug, Default)]
struct Call {
    holder: Option<Pid>,
    /// An attempt of the claim was noted.
    begun: bool,
    flying: Option<Flying>,
    /// Attempts of the claim that ended.
    ended: Vec<(u32, Class)>,
    /// Somebody may have been rung, and nobody knows.
    unknown: bool,
    /// The provider said that it has no such call.
    disproved: bool,
    body: Option<u64>,
    first_begin: Option<(Pid, Duration)>,
}

#[derive(Debug)]
struct Flying {
    by: Pid,
    number: u32,
    /// How often the call was rung before.
    rung: u32,
    bytes: bool,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    calls: BTreeMap<String, Call>,
}

impl Watch {
    fn call(&mut self, key: &str) -> &mut Call {
        if !self.calls.contains_key(key) {
            self.calls.insert(key.to_owned(), Call::default());
        }
        self.calls.get_mut(key).unwrap()
    }

    pub(super) fn claimed(&mut self, by: Pid, key: &str, claim: &Claim, rung: u32) -> Option<Wrong> {
        let call = self.call(key);
        let Claim::Go { .. } = claim else { return None };
        let wrong = match (call.unknown, call.holder) {
            _ if rung > 0 => unproven(&format!("was given to a claimer after it was rung {rung} times")),
            (true, _) => unproven("was given to a claimer although its outcome is unknown"),
            (_, Some(holder)) => unproven(&format!("was given to {by} while {holder} held it")),
            _ => None,
        };
        *call = Call { holder: Some(by), body: call.body, ..Call::default() };
        wrong
    }

    /// An attempt is about to be noted.
    pub(super) fn begins(&mut self, by: Pid, key: &str, now: Duration) {
        self.call(key).first_begin.get_or_insert((by, now));
    }

    /// An attempt is noted.
    pub(super) fn begun(&mut self, by: Pid, key: &str, number: u32, rung: u32) -> Option<Wrong> {
        let call = self.call(key);
        let wrong = match (&call.flying, call.holder) {
            (Some(_), _) => unproven("has two attempts in flight"),
            (_, holder) if holder != Some(by) => unproven("was dialled by one who does not hold it"),
            _ => None,
        };
        call.begun = true;
        call.flying = Some(Flying { by, number, rung, bytes: false });
        wrong
    }

    /// A byte of a create left.
    pub(super) fn byte(&mut self, by: Pid, key: &str, keyed: bool) -> Option<Wrong> {
        let call = self.call(key);
        let unknown = call.unknown && !keyed;
        match &mut call.flying {
            Some(flying) if flying.by == by => {
                let first = !std::mem::replace(&mut flying.bytes, true);
                if first && unknown { unproven("is dialled although its outcome is unknown") } else { None }
            }
            _ => Some((Invariant::Unnoted, "a byte left for which no attempt was in flight".to_owned())),
        }
    }

    /// The create is whole; every attempt of a call must send the same body.
    pub(super) fn whole(&mut self, key: &str, body: u64) -> Option<Wrong> {
        let same = *self.call(key).body.get_or_insert(body) == body;
        if same { None } else { wrong("another body came under the same key") }
    }

    pub(super) fn ended(
        &mut self,
        by: Pid,
        key: &str,
        number: u32,
        class: Class,
        rung: u32,
    ) -> Option<Wrong> {
        let call = self.call(key);
        if let Some((_, known)) = call.ended.iter().find(|(ended, _)| *ended == number) {
            let same = *known == class || *known == Class::Ambiguous;
            return if same { None } else { wrong(&format!("attempt {number} ended {known}, then {class}")) };
        }
        call.ended.push((number, class));
        call.unknown |= class == Class::Ambiguous;
        if matches!(class, Class::Accepted | Class::Rejected(Scope::Call)) {
            // The journal settles the key with it.
            call.holder = None;
        }
        let flying = call.flying.take_if(|flying| flying.number == number && flying.by == by)?;
        let fits = match class {
            Class::Unsent => !flying.bytes && rung == flying.rung,
            Class::Deferred | Class::Rejected(_) => rung == flying.rung,
            Class::Accepted => rung >= 1,
            Class::Ambiguous => true,
        };
        let (before, bytes) = (flying.rung, if flying.bytes { "bytes" } else { "no byte" });
        let words = || {
            format!("attempt {number} ended {class}: {bytes} left, rung {before} times before and {rung} now")
        };
        if fits { None } else { wrong(&words()) }
    }

    /// A call, or its key, is settled: by its caller's fold or by a proof.
    pub(super) fn settled(&mut self, key: &str, class: Class, rung: u32) -> Option<Wrong> {
        let call = self.call(key);
        call.holder = None;
        if class == Class::Ambiguous {
            call.unknown = true;
            return None;
        }
        let (unknown, disproved) = (std::mem::take(&mut call.unknown), call.disproved);
        match class {
            Class::Accepted if rung == 0 => wrong("is settled as accepted but nobody was rung"),
            Class::Accepted => None,
            _ if rung > 0 => wrong(&format!("is settled as {class} but was rung {rung} times")),
            _ if unknown && !disproved => unproven(&format!("is settled as {class} without a proof")),
            _ => None,
        }
    }

    /// The provider said that it knows no such call, and that it will not.
    pub(super) fn disproved(&mut self, key: &str) {
        self.call(key).disproved = true;
    }

    /// A process died: what it was dialling is unknown, what it only claimed is free.
    pub(super) fn died(&mut self, who: Pid) {
        for call in self.calls.values_mut().filter(|call| call.holder == Some(who)) {
            call.unknown |= call.begun;
            (call.holder, call.flying) = (None, None);
        }
    }

    /// What nobody ended, in words, when all callers have their answers.
    pub(super) fn loose(&self) -> impl Iterator<Item = (&str, String)> {
        self.calls.iter().filter_map(|(key, call)| {
            let attempt =
                call.flying.as_ref().map(|flying| format!("attempt {} was never ended", flying.number));
            let held = || call.holder.map(|holder| format!("{holder} never settled it"));
            Some((key.as_str(), attempt.or_else(held)?))
        })
    }

    /// How long ago this process first noted an attempt of the call that it now answers.
    pub(super) fn answered(&mut self, by: Pid, key: &str, now: Duration) -> Option<Duration> {
        let (_, at) = self.call(key).first_begin.take_if(|(began, _)| *began == by)?;
        Some(now - at)
    }
}

fn wrong(words: &str) -> Option<Wrong> {
    Some((Invariant::Misclassified, words.to_owned()))
}

fn unproven(words: &str) -> Option<Wrong> {
    Some((Invariant::Unproven, words.to_owned()))
}

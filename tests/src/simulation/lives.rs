//! What becomes of a call at its provider: it rings, is answered or not, and ends; and how the provider words that.

use std::time::{Duration, SystemTime};

use trunkline_core_types::{Entropy, EntropyExt, SeededEntropy, Timestamp};

/// A call's way through its statuses, drawn when it is placed. Ages are since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    ringing: Duration,
    answered: Option<Duration>,
    ended: Duration,
    end: &'static str,
    /// The service contradicts itself and tells a second end later; the first one holds.
    second: Option<(Duration, &'static str)>,
}

/// One change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) age: Duration,
    pub(super) status: &'static str,
}

impl Step {
    /// Its place in a call's life; every end is the last.
    pub(super) fn rank(&self) -> u8 {
        match self.status {
            "queued" => 1,
            "ringing" => 2,
            "answered" => 3,
            _ => 4,
        }
    }
}

impl Life {
    /// The life that this number draws: a third is answered.
    pub(super) fn draw(seed: u64) -> Self {
        let entropy = SeededEntropy::new(SeededEntropy::new(seed).next());
        let below = |least: u64, most: u64| Duration::from_millis(least + entropy.below(most - least));
        let ringing = below(300, 4_000);
        let contradicts = entropy.below(30) == 0;
        if entropy.below(100) < 35 {
            let answered = ringing + below(2_000, 20_000);
            let ended = answered + below(5_000, 120_000);
            let second = contradicts.then(|| (ended + below(1, 2_000), "failed"));
            return Self { ringing, answered: Some(answered), ended, end: "completed", second };
        }
        let end = ["busy", "no_answer", "no_answer", "declined", "failed"][entropy.below(5) as usize];
        let ended = ringing + below(500, 30_000);
        let second = contradicts.then(|| (ended + below(1, 2_000), "canceled"));
        Self { ringing, answered: None, ended, end, second }
    }

    /// Every change that the provider tells, in the order in which they happen.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        let answered = self.answered.map(|age| Step { age, status: "answered" });
        let second = self.second.map(|(age, status)| Step { age, status });
        let queued = Step { age: Duration::ZERO, status: "queued" };
        let ringing = Step { age: self.ringing, status: "ringing" };
        let ended = Step { age: self.ended, status: self.end };
        [Some(queued), Some(ringing), answered, Some(ended), second].into_iter().flatten()
    }

    /// The status at this age, as the provider's own copy has it: the first end holds.
    pub(super) fn at(&self, age: Duration) -> Step {
        let begun = self.steps().take_while(|step| step.age <= age);
        let highest = begun.reduce(|held, step| if step.rank() > held.rank() { step } else { held });
        highest.unwrap_or(Step { age: Duration::ZERO, status: "queued" })
    }

    /// The call as the service writes it at one of its steps, in a reply or in an event.
    pub(super) fn json(&self, call: &Named<'_>, step: Step) -> String {
        let at = |age: Duration| moment(call.placed + age);
        let mut times = format!(r#""created":"{}""#, at(Duration::ZERO));
        let begun: [(&str, Option<Duration>); 2] =
            [("ringing", Some(self.ringing)), ("answered", self.answered)];
        for (name, age) in begun {
            if let Some(age) = age.filter(|age| *age <= step.age) {
                times += &format!(r#","{name}":"{}""#, at(age));
            }
        }
        let talked = self.answered.map_or(0, |answered| step.age.saturating_sub(answered).as_secs());
        let (mut more, mut cost) = (String::new(), 15);
        if step.rank() == 4 {
            times += &format!(r#","ended":"{}""#, at(step.age));
            more = format!(r#","duration":{talked}"#);
            cost = 15 * if self.answered.is_some() { 1 + talked / 60 } else { 0 };
        }
        format!(
            r#"{{"call_id":"{}","status":"{}","to":"{}","timestamps":{{{times}}},"cost":{}.{:03}{more},"idempotency_key":"{}"}}"#,
            call.id,
            step.status,
            call.to,
            cost / 1000,
            cost % 1000,
            call.key
        )
    }
}

/// What a call is called, and when it was placed by the provider's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: &'a str,
    pub(super) key: &'a str,
    pub(super) to: &'a str,
    pub(super) placed: SystemTime,
}

/// A time as it travels.
pub(super) fn moment(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_goes_up_and_the_first_end_holds() {
        let mut words = std::collections::BTreeSet::new();
        for seed in 0..2_000 {
            let life = Life::draw(seed);
            let steps: Vec<_> = life.steps().collect();
            assert!(steps.is_sorted_by_key(|step| (step.age, step.rank())), "{life:?}");
            let end = life.at(Duration::from_secs(3_600));
            assert_eq!(end.status, life.end);
            assert_eq!(
                steps.iter().filter(|step| step.rank() == 4).map(|step| step.age).min(),
                Some(end.age)
            );
            words.extend(steps.iter().map(|step| step.status));
        }
        assert_eq!(words.len(), 9, "{words:?}");
    }
}

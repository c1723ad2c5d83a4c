//! Our own book: what came of each call, and how it is held against the simulator's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trunkline::{Currency, E164, Error, ErrorKind, IdempotencyKey, Money, Placed};

const PREFIX: &str = "demo-";
/// The most failed checks that are told one by one.
const TOLD: usize = 20;

/// The key of the call to the person at this place.
pub(super) fn key(at: usize) -> Option<IdempotencyKey> {
    format!("{PREFIX}{at}").parse().ok()
}

pub(super) fn place(key: &IdempotencyKey) -> Option<usize> {
    key.as_str().strip_prefix(PREFIX)?.parse().ok()
}

/// What came of a call, in the words of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Placed,
    Rejected,
    Unsent,
    Ambiguous,
}

/// Counts the calls that were handed to the client.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<AtomicUsize>);

impl Taken {
    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of each call. One that was taken and has no entry was given up, so its fate is ambiguous.
#[derive(Debug)]
pub(super) struct Ledger {
    fates: Vec<Option<Fate>>,
    ended: Counts,
    reconciled: usize,
    taken: Taken,
    strange: Vec<String>,
    cost: BTreeMap<Currency, Money>,
    unpriced: usize,
}

/// How many calls had each fate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: usize,
    pub(super) placed: usize,
    pub(super) rejected: usize,
    pub(super) unsent: usize,
    pub(super) ambiguous: usize,
}

impl Counts {
    fn add(&mut self, fate: Fate) {
        self.calls += 1;
        *self.of(fate) += 1;
    }

    fn of(&mut self, fate: Fate) -> &mut usize {
        match fate {
            Fate::Placed => &mut self.placed,
            Fate::Rejected => &mut self.rejected,
            Fate::Unsent => &mut self.unsent,
            Fate::Ambiguous => &mut self.ambiguous,
        }
    }
}

/// What the simulator's book says.
pub(super) struct Rings<'a> {
    /// How often the person at this place was rung.
    pub(super) times_rung: &'a dyn Fn(usize) -> u32,
    pub(super) duplicates: u64,
    pub(super) pace_violations: u64,
}

impl Ledger {
    pub(super) fn new(calls: usize) -> Self {
        let (fates, ended) = (vec![None; calls], Counts::default());
        Self {
            fates,
            ended,
            reconciled: 0,
            taken: Taken::default(),
            strange: Vec::new(),
            cost: BTreeMap::new(),
            unpriced: 0,
        }
    }

    pub(super) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Enters one result.
    pub(super) fn enter(&mut self, key: &IdempotencyKey, result: &Result<Placed, Error>) {
        let fate = match result {
            Ok(placed) => {
                self.charge(placed.call.as_ref().and_then(|call| call.cost));
                Fate::Placed
            }
            Err(error) => match error.kind() {
                ErrorKind::Rejected | ErrorKind::Input | ErrorKind::NotAllowed => Fate::Rejected,
                ErrorKind::Unsent => Fate::Unsent,
                _ => Fate::Ambiguous,
            },
        };
        self.note(place(key), fate);
    }

    fn note(&mut self, at: Option<usize>, fate: Fate) {
        match at.and_then(|at| self.fates.get_mut(at)) {
            Some(entry @ None) => {
                *entry = Some(fate);
                self.ended.add(fate);
            }
            Some(Some(_)) => self.strange.push("one call has two results".to_owned()),
            None => self.strange.push("a result belongs to no call".to_owned()),
        }
    }

    /// Settles a call whose outcome was not known. Every other call keeps its fate.
    pub(super) fn reconcile(&mut self, key: &IdempotencyKey, fate: Fate, cost: Option<Money>) {
        let entry = place(key).and_then(|at| self.fates.get_mut(at));
        let Some(entry @ Some(Fate::Ambiguous)) = entry else { return };
        *entry = Some(fate);
        *self.ended.of(Fate::Ambiguous) -= 1;
        *self.ended.of(fate) += 1;
        self.reconciled += 1;
        if fate == Fate::Placed {
            self.charge(cost);
        }
    }

    fn charge(&mut self, cost: Option<Money>) {
        let Some(cost) = cost else {
            self.unpriced += 1;
            return;
        };
        let sum = self.cost.entry(cost.currency()).or_insert_with(|| Money::zero(cost.currency()));
        match sum.checked_add(cost) {
            Some(more) => *sum = more,
            None => self.strange.push("the cost is too large to add up".to_owned()),
        }
    }

    /// The sums so far; what was taken and has no result yet is ambiguous.
    pub(super) fn counts(&self) -> Counts {
        let calls = self.taken.0.load(Ordering::Relaxed);
        let open = calls.saturating_sub(self.ended.calls);
        Counts { calls, ambiguous: self.ended.ambiguous + open, ..self.ended }
    }

    /// How many were ambiguous and got settled.
    pub(super) fn reconciled(&self) -> usize {
        self.reconciled
    }

    /// How many have a result.
    pub(super) fn ended(&self) -> usize {
        self.ended.calls
    }

    /// What placed calls cost, by currency.
    pub(super) fn cost(&self) -> impl Iterator<Item = Money> {
        self.cost.values().copied()
    }

    /// Placed calls whose answer named no price, such as one that was cut off.
    pub(super) fn unpriced(&self) -> usize {
        self.unpriced
    }

    /// One line for each check that failed, most important first.
    pub(super) fn check(&self, rings: &Rings<'_>, people: &[E164]) -> Vec<String> {
        let mut failed = Vec::new();
        if rings.duplicates > 0 {
            failed.push(format!("{} rings too many: somebody was rung twice", rings.duplicates));
        }
        if rings.pace_violations > 0 {
            failed.push(format!("{} calls came faster than the pace", rings.pace_violations));
        }
        let counts = self.counts();
        if counts.calls != counts.placed + counts.rejected + counts.unsent + counts.ambiguous {
            failed.push(format!("the classes do not add up to the calls: {counts:?}"));
        }
        failed.extend(self.strange.iter().take(TOLD).cloned());
        let wrong = self.fates.iter().enumerate().filter_map(|(at, fate)| wrong(at, *fate, rings, people));
        failed.extend(wrong.take(TOLD));
        failed
    }
}

/// The line about a call whose two books differ.
fn wrong(at: usize, fate: Option<Fate>, rings: &Rings<'_>, people: &[E164]) -> Option<String> {
    let rung = (rings.times_rung)(at);
    let (fits, word) = match fate {
        Some(Fate::Placed) => (rung == 1, "placed"),
        Some(Fate::Rejected) => (rung == 0, "rejected"),
        Some(Fate::Unsent) => (rung == 0, "unsent"),
        Some(Fate::Ambiguous) | None => (rung <= 1, "ambiguous"),
    };
    let who = people.get(at).map_or_else(String::new, |to| format!(" to {to}"));
    (!fits).then(|| format!("call {at}{who} is {word} in our book and was rung {rung} times"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::numbers::fictitious;

    /// Calls with these fates, all taken.
    fn ledger(fates: &[Option<Fate>]) -> Ledger {
        let mut ledger = Ledger::new(fates.len());
        for (at, fate) in fates.iter().enumerate() {
            ledger.taken().one_more();
            if let Some(fate) = fate {
                ledger.note(place(&key(at).unwrap()), *fate);
            }
        }
        ledger
    }

    fn check(fates: &[Option<Fate>], rung: &[u32], duplicates: u64, pace_violations: u64) -> Vec<String> {
        let times_rung = |at: usize| rung[at];
        let rings = Rings { times_rung: &times_rung, duplicates, pace_violations };
        ledger(fates).check(&rings, &fictitious(fates.len() as u32).unwrap())
    }

    const ALL: [Option<Fate>; 5] =
        [Some(Fate::Placed), Some(Fate::Rejected), Some(Fate::Unsent), Some(Fate::Ambiguous), None];

    #[test]
    fn books_that_agree_pass() {
        assert_eq!(check(&ALL, &[1, 0, 0, 0, 0], 0, 0), Vec::<String>::new());
        assert_eq!(check(&ALL, &[1, 0, 0, 1, 1], 0, 0), Vec::<String>::new());
        let counts = ledger(&ALL).counts();
        assert_eq!(counts, Counts { calls: 5, placed: 1, rejected: 1, unsent: 1, ambiguous: 2 });
    }

    #[test]
    fn every_disagreement_is_told() {
        for rung in [
            [0, 0, 0, 0, 0],
            [2, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 0, 1, 0, 0],
            [1, 0, 0, 2, 0],
            [1, 0, 0, 0, 2],
        ] {
            let failed = check(&ALL, &rung, 0, 0);
            assert_eq!(failed.len(), 1, "{rung:?} {failed:?}");
            assert!(!failed[0].contains("5550"), "{failed:?}");
        }
        assert!(check(&ALL, &[1, 0, 0, 0, 0], 1, 0)[0].contains("rung twice"));
        assert!(check(&ALL, &[1, 0, 0, 0, 0], 0, 1)[0].contains("pace"));
    }

    #[test]
    fn a_result_too_many_is_told() {
        let mut twice = ledger(&ALL);
        twice.note(Some(0), Fate::Placed);
        twice.note(place(&"other".parse().unwrap()), Fate::Placed);
        let rings = Rings { times_rung: &|at| u32::from(at == 0), duplicates: 0, pace_violations: 0 };
        assert_eq!(twice.check(&rings, &[]), ["one call has two results", "a result belongs to no call"]);
    }

    #[test]
    fn only_an_ambiguous_call_is_reconciled_and_once() {
        let mut ledger = ledger(&ALL);
        let at = |fate: Option<Fate>| ALL.iter().position(|known| *known == fate).unwrap();
        let before = ledger.counts();
        let unknown = key(at(Some(Fate::Ambiguous))).unwrap();
        let price = Money::parse("0.015", Currency::USD).unwrap();
        for known in [Fate::Placed, Fate::Rejected, Fate::Unsent] {
            ledger.reconcile(&key(at(Some(known))).unwrap(), Fate::Placed, None);
        }
        assert_eq!((ledger.counts(), ledger.reconciled()), (before, 0));
        for _ in 0..2 {
            ledger.reconcile(&unknown, Fate::Placed, Some(price));
        }
        let (placed, ambiguous) = (before.placed + 1, before.ambiguous - 1);
        assert_eq!(ledger.counts(), Counts { placed, ambiguous, ..before });
        assert_eq!((ledger.reconciled(), ledger.cost().collect::<Vec<_>>()), (1, vec![price]));
    }

    #[test]
    fn a_call_that_was_not_taken_does_not_count() {
        let mut stopped = Ledger::new(9);
        stopped.taken().one_more();
        stopped.note(Some(0), Fate::Placed);
        assert_eq!(stopped.counts(), Counts { calls: 1, placed: 1, ..Counts::default() });
    }

    #[test]
    fn costs_add_up_by_currency() {
        let mut ledger = Ledger::new(0);
        let euro = "EUR".parse().unwrap();
        for cost in [("0.015", Currency::USD), ("0.2", euro), ("0.015", Currency::USD)] {
            ledger.charge(Some(Money::parse(cost.0, cost.1).unwrap()));
        }
        ledger.charge(None);
        assert_eq!(ledger.unpriced(), 1);
        assert_eq!(ledger.cost().map(|sum| sum.to_string()).collect::<Vec<_>>(), ["0.2 EUR", "0.030 USD"]);
    }
}

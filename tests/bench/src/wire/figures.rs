//! Rounds to rows: medians, spans, and ratios within a round.

use super::Measured;
use crate::contenders::Kind;
use crate::report::{Group, Table};

/// All rounds at one number of calls in flight.
pub(super) struct Figures {
    in_flight: usize,
    rounds: Vec<Vec<Measured>>,
}

impl Figures {
    pub(super) fn new(in_flight: usize) -> Self {
        Self { in_flight, rounds: vec![Vec::new(); Kind::ALL.len()] }
    }

    pub(super) fn add(&mut self, kind: Kind, measured: Measured) {
        self.rounds[index(kind)].push(measured);
    }

    /// Adds the table, and at 64 in flight what was aimed at.
    pub(super) fn report(&self, group: &mut Group) {
        let title = format!("{} in flight over loopback, one core for the client", self.in_flight);
        let columns = [
            "client",
            "rate : hyper-util",
            "min",
            "max",
            "cpu : hyper-util",
            "calls/s",
            "min",
            "max",
            "cpu us",
            "min",
            "max",
            "busy",
        ];
        let mut table = Table::new(title, &columns);
        for kind in Kind::ALL {
            let rate = self.ratios(kind, Kind::HyperUtil, |measured| measured.rate);
            let cpu = self.ratios(kind, Kind::HyperUtil, |measured| measured.cpu);
            let mut numbers = span(rate).to_vec();
            numbers.push(median(cpu));
            numbers.extend(span(self.of(kind, |measured| measured.rate)));
            numbers.extend(span(self.of(kind, |measured| measured.cpu)));
            numbers.push(median(self.of(kind, |measured| measured.busy)));
            table.row(kind.name(), numbers);
        }
        group.add(table);
        if self.in_flight == 64 {
            self.aims(group);
        }
    }

    fn aims(&self, group: &mut Group) {
        for (other, name, aim) in [
            (Kind::HyperUtil, "full stack : hyper-util, calls/s at 64 in flight", 1.0),
            (Kind::Reqwest, "full stack : reqwest, calls/s at 64 in flight", 1.3),
            (Kind::Telnyx, "full stack : telnyx, calls/s at 64 in flight", 1.5),
        ] {
            group.at_least(name, aim, median(self.ratios(Kind::Full, other, |measured| measured.rate)));
        }
    }

    fn of(&self, kind: Kind, number: fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds[index(kind)].iter().map(number).collect()
    }

    /// Of each round, since rounds minutes apart meet different neighbours.
    fn ratios(&self, kind: Kind, to: Kind, number: fn(&Measured) -> f64) -> Vec<f64> {
        self.of(kind, number).iter().zip(self.of(to, number)).map(|(one, other)| one / other).collect()
    }
}

fn index(kind: Kind) -> usize {
    Kind::ALL.iter().position(|other| *other == kind).unwrap_or_default()
}

/// Median, smallest, largest.
fn span(numbers: Vec<f64>) -> [f64; 3] {
    let (smallest, largest) = numbers
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), number| (low.min(*number), high.max(*number)));
    [median(numbers), smallest, largest]
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

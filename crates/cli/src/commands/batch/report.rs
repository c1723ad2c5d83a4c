//! What a batch did, or would do, as a table or as one JSON object.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use trunkline::batch::{RowClass, Tally};
use trunkline::{Finding, IdempotencyKey, Money, Profile};

use super::{Settled, exit_of, files};
use crate::args::BatchArgs;
use crate::exit::{Exit, Problem};
use crate::out::Out;
use crate::render::table;
use crate::settings::Settings;

/// The end of a batch.
pub(super) struct Report<'a> {
    pub(super) tally: &'a Tally,
    pub(super) seconds: f64,
    /// What a reconcile found before the first row, and after the last one.
    pub(super) earlier: &'a Settled,
    pub(super) later: &'a Settled,
    /// The rows of this run whose outcome was unknown when they ended.
    pub(super) unknown: &'a HashSet<IdempotencyKey>,
    /// Why the first row of a class was not placed.
    pub(super) why: &'a BTreeMap<RowClass, Box<str>>,
    /// Calls that were given up; the journal keeps them open if bytes had left.
    pub(super) under_way: usize,
    pub(super) interrupted: bool,
    pub(super) gave_up: bool,
    pub(super) rejects: PathBuf,
    pub(super) journal: PathBuf,
}

impl Report<'_> {
    pub(super) fn exit(&self) -> Exit {
        match self.interrupted {
            true => Exit::Interrupted,
            false => exit_of(|class| self.count(class)),
        }
    }

    /// Rows of this class, those that the last reconcile found as placed among them.
    fn count(&self, class: RowClass) -> u64 {
        let found = |(key, finding): &(&IdempotencyKey, &Finding)| {
            **finding == Finding::Placed && self.unknown.contains(*key)
        };
        let found = self.later.findings.iter().filter(found).count() as u64;
        match class {
            RowClass::Placed => self.tally.count(class) + found,
            RowClass::Ambiguous => self.tally.count(class).saturating_sub(found),
            _ => self.tally.count(class),
        }
    }

    /// Calls of which this was found; the last word counts.
    fn reconciled(&self, finding: Finding) -> usize {
        let later = &self.later.findings;
        let earlier = self.earlier.findings.iter();
        earlier.filter(|(key, found)| **found == finding && !later.contains_key(*key)).count()
            + self.later.count(finding)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("rows".into(), self.tally.total().into());
        for class in RowClass::ALL {
            fields.insert(class.as_str().into(), self.count(class).into());
        }
        fields.insert("reconciled".into(), self.reconciled(Finding::Placed).into());
        fields.insert("proven_absent".into(), self.reconciled(Finding::ProvenAbsent).into());
        fields.insert("under_way".into(), self.under_way.into());
        fields.insert("interrupted".into(), self.interrupted.into());
        fields.insert("gave_up".into(), self.gave_up.into());
        fields.insert("seconds".into(), json!((self.seconds * 1000.0).round() / 1000.0));
        fields.into()
    }

    pub(super) fn to_text(&self) -> String {
        let rows = RowClass::ALL.into_iter().filter(|class| self.count(*class) > 0);
        let rows = rows.map(|class| {
            vec![class.as_str().to_owned(), self.count(class).to_string(), meaning(class).to_owned()]
        });
        let time = format!("{} rows in {:.1} s", self.tally.total(), self.seconds);
        if self.tally.total() == 0 {
            return time;
        }
        format!("{}{}\n{time}", table(&["rows", "", ""], rows), reasons(self.tally.reasons()))
    }

    /// What to do next, one line each.
    pub(super) fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        advice.extend(self.why.values().map(|why| why.to_string()));
        if self.gave_up {
            advice.push(
                "gave up: too many rows in a row could not be sent or were refused to the account; \
                 `trunkline doctor` checks keys, address and clock"
                    .to_owned(),
            );
        }
        let (placed, absent) = (self.reconciled(Finding::Placed), self.reconciled(Finding::ProvenAbsent));
        if placed + absent > 0 {
            advice.push(format!("of unknown calls {placed} turned out placed, {absent} not placed"));
        }
        if self.under_way > 0 {
            let open = self.under_way;
            advice.push(format!(
                "{open} calls were under way: their outcome is unknown unless nothing had left"
            ));
        }
        let unknown = self.count(RowClass::Ambiguous);
        if unknown > 0 {
            let next =
                self.later.next_in.map(|next| format!(", in {} s at the earliest", next.as_secs() + 1));
            let (journal, next) = (self.journal.display(), next.unwrap_or_default());
            advice.push(format!(
                "ambiguous: {unknown} phones may have rung and are not dialled again. `trunkline reconcile {journal}` asks the provider{next}; \
                 the same command again asks too before it dials. --redial-unknown dials them again and can ring people twice"
            ));
        }
        if self.tally.count(RowClass::Input) > 0 {
            advice.push(format!("input: line, field and reason are in {}", self.rejects.display()));
        }
        if self.tally.count(RowClass::Unsent) > 0 || self.interrupted || self.gave_up {
            advice.push("the same command again goes on from here".to_owned());
        }
        advice
    }
}

fn meaning(class: RowClass) -> &'static str {
    match class {
        RowClass::Placed => "placed now",
        RowClass::Already => "placed before; nobody was rung again",
        RowClass::Rejected => "the provider will not act",
        RowClass::Ambiguous => "may have rung; not dialled again",
        RowClass::Unsent => "nobody was rung; the next run tries again",
        RowClass::NotAllowed => "the check before dialling said no",
        RowClass::Input => "not a call",
        RowClass::Duplicate => "stood further up in the file",
        _ => "",
    }
}

fn reasons<'a>(reasons: impl Iterator<Item = (&'a str, &'a str, u64)>) -> String {
    let rows: Vec<_> = reasons
        .map(|(field, reason, count)| vec![count.to_string(), field.to_owned(), reason.to_owned()])
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{}", table(&["rejected", "field", "reason"], rows)),
    }
}

/// Reads the whole file and places nothing.
pub(super) fn dry_run(args: &BatchArgs, settings: &Settings, profile: &Profile) -> Result<Exit, Problem> {
    let price = price(args, profile)?;
    let survey = files::batch(args)?.0.survey()?;
    let pace = settings.pace.unwrap_or(profile.default_pace);
    let seconds = survey.duration_at(pace).as_secs_f64();
    let cost = price.and_then(|price| survey.cost_at(price));
    if args.json {
        let reasons: Vec<_> = survey
            .reasons()
            .map(|(field, reason, count)| json!({"field": field, "reason": reason, "rows": count}))
            .collect();
        Out::stdout().json(&json!({
            "calls": survey.calls, "rejected": survey.rejected, "duplicates": survey.duplicates, "reasons": reasons,
            "pace": pace.to_string(), "seconds": seconds,
            "cost": cost.map(|cost| json!({"amount": cost.amount(), "currency": cost.currency().to_string()})),
        }));
    } else {
        let cost = cost.map_or_else(
            || "unknown; give --price".to_owned(),
            |cost| format!("{} {}, {}", cost.amount(), cost.currency(), profile.billing.as_str()),
        );
        let rows = [
            ("calls", survey.calls.to_string()),
            ("not calls", survey.rejected.to_string()),
            ("duplicates", survey.duplicates.to_string()),
            ("time", format!("{} at {pace}", spelt(seconds))),
            ("cost", cost),
        ];
        let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
        let shown = table(&["dry run", ""], rows);
        Out::stdout().text(&format!("{shown}{}\nnothing was placed", reasons(survey.reasons())));
    }
    Ok(if survey.rejected > 0 { Exit::Rejected } else { Exit::Done })
}

/// One call at the price that was given, or at the list price of the voice API's contract.
fn price(args: &BatchArgs, profile: &Profile) -> Result<Option<Money>, Problem> {
    let listed = (profile.name == "claude").then_some("0.015");
    let parse =
        |amount| Money::parse(amount, profile.currency).map_err(|error| Problem::from(error.of("price")));
    args.price.as_deref().or(listed).map(parse).transpose()
}

fn spelt(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds).as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_the_exit_code() {
        for (classes, exit) in [
            (&[][..], Exit::Done),
            (&[RowClass::Placed, RowClass::Already, RowClass::Duplicate], Exit::Done),
            (&[RowClass::Placed, RowClass::Input], Exit::Rejected),
            (&[RowClass::Rejected], Exit::Rejected),
            (&[RowClass::NotAllowed], Exit::Rejected),
            (&[RowClass::Input, RowClass::Ambiguous], Exit::Unknown),
            (&[RowClass::Ambiguous, RowClass::Unsent], Exit::Unsent),
        ] {
            assert_eq!(exit_of(|class| u64::from(classes.contains(&class))), exit, "{classes:?}");
        }
    }

    #[test]
    fn times_are_spelt_in_their_own_units() {
        assert_eq!([1.25, 75.0, 7_384.0].map(spelt), ["1.2 s", "1 min 15 s", "2 h 3 min"]);
    }
}

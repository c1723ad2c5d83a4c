//! Counts: of a run's results, and of a file that is only looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_core_types::{Money, Rate};

use super::{Batch, Entry, Rejected, RowClass, RowResult};
use crate::Error;

/// Reasons that are told apart.
const MAX_REASONS: usize = 64;

/// How often each field was wrong in which way.
#[derive(Debug, Clone, Default)]
struct Reasons(BTreeMap<(Box<str>, Box<str>), u64>);

impl Reasons {
    fn add(&mut self, field: &str, reason: &str) {
        let fits = self.0.len() < MAX_REASONS;
        let known = (field.into(), reason.into());
        let entry = if fits || self.0.contains_key(&known) { known } else { (field.into(), "other".into()) };
        *self.0.entry(entry).or_default() += 1;
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|((field, reason), count)| (&**field, &**reason, *count))
    }
}

/// What came of a batch so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: BTreeMap<RowClass, u64>,
    reasons: Reasons,
}

impl Tally {
    /// One more row.
    pub fn add(&mut self, result: &RowResult) {
        *self.counts.entry(result.class).or_default() += 1;
        if result.class == RowClass::Input {
            self.reasons
                .add(result.field.as_deref().unwrap_or("row"), result.error.as_deref().unwrap_or_default());
        }
    }

    /// Rows of this class.
    pub fn count(&self, class: RowClass) -> u64 {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// All rows.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Field, reason and count of the rows that are not calls; at most 64 reasons and one `other` a field.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.reasons.iter()
    }
}

/// A file that was only read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Survey {
    /// Calls that it asks for.
    pub calls: u64,
    /// Records that are not calls.
    pub rejected: u64,
    /// Records whose key stood further up.
    pub duplicates: u64,
    reasons: Reasons,
}

impl Batch {
    /// Reads the whole file and places nothing.
    ///
    /// # Errors
    /// `Input` on `file` if it cannot be read to its end.
    pub fn survey(self) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for entry in self {
            match entry? {
                Entry::Row(_) => survey.calls += 1,
                Entry::Duplicate(_) => survey.duplicates += 1,
                Entry::Rejected(Rejected { field, reason, .. }) => {
                    survey.rejected += 1;
                    survey.reasons.add(&field, &reason);
                }
            }
        }
        Ok(survey)
    }
}

impl Survey {
    /// Field, reason and count of the records that are not calls; at most 64 reasons and one `other` a field.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.reasons.iter()
    }

    /// How long starting all calls takes at this pace.
    pub fn duration_at(&self, pace: Rate) -> Duration {
        let nanos = pace.interval().as_nanos().saturating_mul(u128::from(self.calls));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What all calls cost if each costs this much; `None` if the sum is too large for an amount.
    pub fn cost_at(&self, price: Money) -> Option<Money> {
        let (mut sum, mut power, mut left) = (Money::zero(price.currency()), price, self.calls);
        while left > 0 {
            if left & 1 == 1 {
                sum = sum.checked_add(power)?;
            }
            left >>= 1;
            if left > 0 {
                power = power.checked_add(power)?;
            }
        }
        Some(sum)
    }
}

//! All series of one metric for one account, with their keys built once.

use std::time::Duration;

use metrics::{Key, Label as KeyLabel, Level, Metadata, SharedString};
use trunkline_core_types::AccountId;

use crate::catalogue::{Metric, Values};

static METADATA: Metadata<'static> =
    Metadata::new("trunkline_telemetry", Level::INFO, Some("trunkline_telemetry"));

/// The keys of one metric: one per combination of its closed label values.
///
/// A series is registered with the recorder on each use: a handle taken before a recorder is installed would count nothing for ever.
#[derive(Debug)]
pub(crate) struct Series {
    sets: Vec<&'static [&'static str]>,
    keys: Box<[Key]>,
}

impl Series {
    /// The series of `metric`, with the account where it has that label.
    pub(crate) fn of(metric: &Metric, account: Option<&AccountId>) -> Self {
        let account: SharedString = account.map_or("", AccountId::as_str).to_owned().into();
        let (mut sets, mut combinations) = (Vec::new(), vec![Vec::new()]);
        for label in metric.labels {
            let values: Vec<SharedString> = match label.values {
                Values::Account => vec![account.clone()],
                Values::Version => vec![env!("CARGO_PKG_VERSION").into()],
                Values::Closed(set) => {
                    sets.push(set);
                    set.iter().map(|value| SharedString::const_str(value)).collect()
                }
            };
            combinations = extend(&combinations, label.name, &values);
        }
        let keys = combinations.into_iter().map(|labels| Key::from_parts(metric.name, labels)).collect();
        Self { sets, keys }
    }

    /// Counts one more in the series of these closed values, given in the order of the labels.
    pub(crate) fn count(&self, values: &[&str]) {
        self.count_at(self.position(values));
    }

    /// Counts one more in the series at `index`: the place of its closed values, which [`Series::position`] tells.
    pub(crate) fn count_at(&self, index: usize) {
        if let Some(key) = self.keys.get(index) {
            metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
        }
    }

    /// Notes a duration in the series at `index`.
    pub(crate) fn record_at(&self, index: usize, time: Duration) {
        if let Some(key) = self.keys.get(index) {
            let seconds = time.as_secs_f64();
            metrics::with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(seconds));
        }
    }

    /// Sets the first series, for a metric without closed labels.
    pub(crate) fn set(&self, value: f64) {
        self.set_at(&[], value);
    }

    /// Sets the series of these closed values.
    pub(crate) fn set_at(&self, values: &[&str], value: f64) {
        if let Some(key) = self.keys.get(self.position(values)) {
            metrics::with_recorder(|recorder| recorder.register_gauge(key, &METADATA).set(value));
        }
    }

    /// A value outside its set counts as the last one, which is `other` where a set can grow.
    pub(crate) fn position(&self, values: &[&str]) -> usize {
        self.sets.iter().zip(values).fold(0, |position, (set, value)| {
            let index = set.iter().position(|known| known == value).unwrap_or(set.len() - 1);
            position * set.len() + index
        })
    }
}

/// Every combination so far with every value of one more label.
fn extend(combinations: &[Vec<KeyLabel>], name: &'static str, values: &[SharedString]) -> Vec<Vec<KeyLabel>> {
    let more = |labels: &Vec<KeyLabel>, value: &SharedString| {
        let mut labels = labels.clone();
        labels.push(KeyLabel::new(name, value.clone()));
        labels
    };
    combinations.iter().flat_map(|labels| values.iter().map(move |value| more(labels, value))).collect()
}

//! A recorder that can be shut: without upkeep the samples of its histograms would pile up for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

/// The recorder while `open`, afterwards one that drops everything.
pub(super) struct Gate {
    recorder: PrometheusRecorder,
    open: Arc<AtomicBool>,
}

impl Gate {
    pub(super) fn new(recorder: PrometheusRecorder, open: Arc<AtomicBool>) -> Self {
        Self { recorder, open }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Recorder for Gate {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if self.is_open() { self.recorder.register_counter(key, metadata) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if self.is_open() { self.recorder.register_gauge(key, metadata) } else { Gauge::noop() }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if self.is_open() { self.recorder.register_histogram(key, metadata) } else { Histogram::noop() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn a_shut_gate_drops_everything() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (page, open) = (recorder.handle(), Arc::new(AtomicBool::new(true)));
        let gate = Gate::new(recorder, open.clone());
        let note = || {
            metrics::with_local_recorder(&gate, || {
                metrics::counter!("counter_total").increment(1);
                metrics::gauge!("gauge").set(1.0);
                metrics::histogram!("histogram_seconds").record(1.0);
            });
        };
        open.store(false, Ordering::Release);
        note();
        assert_eq!(page.render(), "");
        open.store(true, Ordering::Release);
        note();
        for line in ["counter_total 1", "gauge 1", "histogram_seconds_count 1"] {
            assert!(page.render().contains(&format!("\n{line}\n")), "{line}: {}", page.render());
        }
    }
}

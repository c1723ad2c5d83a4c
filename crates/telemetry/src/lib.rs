//! Metrics of Trunkline: one catalogue, an observer that feeds it, the decorators that measure, and a Prometheus exporter.
//!
//! Every layer reports facts to an [`Observer`](trunkline_core_types::Observer); [`MetricsObserver`] turns them into series of the
//! [`CATALOGUE`], whose labels come from closed sets. [`CallMetrics`] and [`AttemptMetrics`] measure whole operations and attempts
//! around any `HttpService`, dropped ones too. This crate decides nothing, and no phone number, key or URL can become a label.
//!
//! ```
//! use std::time::Duration;
//! use trunkline_core_types::{Class, Fact, Observer, Operation};
//! use trunkline_telemetry::MetricsObserver;
//!
//! let observer = MetricsObserver::new(&"main".parse()?);
//! // A recorder that is installed only now still counts: series are registered on use.
//! observer.saw(Fact::Call {
//!     operation: Operation::Create,
//!     class: Class::Accepted,
//!     tries: 1,
//!     took: Duration::from_millis(230),
//! });
//! # Ok::<(), trunkline_core_types::InputError>(())
//! ```
//!
//! Feature `exporter`: `PrometheusExporter`, which serves `GET /metrics`.

mod catalogue;
mod layers;
mod observer;
mod series;
mod status;

#[cfg(feature = "exporter")]
mod exporter;

pub use catalogue::{ARTICLE_PAIR, CATALOGUE, Label, Metric, MetricKind, Values, describe};
pub use layers::{AttemptMetrics, CallMetrics};
pub use observer::MetricsObserver;

#[cfg(feature = "exporter")]
pub use exporter::{ExporterError, ExporterErrorKind, ExporterHandle, PrometheusExporter};

#[cfg(all(doctest, feature = "exporter"))]
#[doc = include_str!("../README.md")]
mod readme {}

//! Why the exporter does not run.

use std::net::SocketAddr;

use trunkline_core_types::Source;

/// What went wrong, for callers who branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExporterErrorKind {
    /// The listen address cannot be had.
    Bind,
    /// The process has a metrics recorder already.
    Installed,
    /// There is no tokio runtime here.
    NoRuntime,
    /// The recorder refused its settings.
    Settings,
}

/// The exporter was not installed; nothing has changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("exporter: {message}")]
pub struct ExporterError {
    kind: ExporterErrorKind,
    message: Box<str>,
    source: Option<Source>,
}

impl ExporterError {
    /// What went wrong.
    pub fn kind(&self) -> ExporterErrorKind {
        self.kind
    }

    pub(super) fn bind(address: SocketAddr, error: std::io::Error) -> Self {
        let message = format!("listen: cannot bind {address}; free it or choose another, port 0 takes any");
        Self { kind: ExporterErrorKind::Bind, message: message.into(), source: Some(Source::new(error)) }
    }

    pub(super) fn installed() -> Self {
        let message = "this process has a metrics recorder; use that one, and call describe() once";
        Self { kind: ExporterErrorKind::Installed, message: message.into(), source: None }
    }

    pub(super) fn no_runtime(error: tokio::runtime::TryCurrentError) -> Self {
        let message = "there is no runtime; call install inside tokio";
        Self { kind: ExporterErrorKind::NoRuntime, message: message.into(), source: Some(Source::new(error)) }
    }

    pub(super) fn settings(error: metrics_exporter_prometheus::BuildError) -> Self {
        let message = "the recorder refused the catalogue's buckets; this is a bug, report it";
        Self { kind: ExporterErrorKind::Settings, message: message.into(), source: Some(Source::new(error)) }
    }
}

//! The Prometheus exporter: a recorder, a page to scrape, and the upkeep of both.

mod error;
mod gate;
mod server;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use trunkline_core_types::Clock;

use crate::catalogue::{ARTICLE_PAIR, CATALOGUE, describe};
use gate::Gate;

pub use error::{ExporterError, ExporterErrorKind};

/// How often samples of histograms are drained: their memory between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Settings of the exporter: where it listens. Names, help and buckets are the [`CATALOGUE`](crate::CATALOGUE)'s.
#[derive(Debug, Clone)]
pub struct PrometheusExporter {
    clock: Arc<dyn Clock>,
    listen: SocketAddr,
}

impl PrometheusExporter {
    /// The default address: loopback, port 9464.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

    /// An exporter on [`LISTEN`](Self::LISTEN) whose deadlines run by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, listen: Self::LISTEN }
    }

    /// Listens here. Port 0 takes a free one; the handle tells which. Whoever reaches the address reads the metrics, so an address
    /// beyond loopback belongs behind a firewall.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Binds the address, installs the recorder for this process and serves `GET /metrics` until the handle is dropped.
    ///
    /// Clients that exist already count from here on. Must run inside a tokio runtime, which then owns the server's task.
    ///
    /// # Errors
    /// [`ExporterErrorKind::NoRuntime`] outside a runtime, [`ExporterErrorKind::Bind`] if the address cannot be had, and
    /// [`ExporterErrorKind::Installed`] if the process has a recorder. Nothing is installed then.
    pub fn install(self) -> Result<ExporterHandle, ExporterError> {
        let runtime = Handle::try_current().map_err(ExporterError::no_runtime)?;
        let (listener, address) =
            bind(self.listen).map_err(|error| ExporterError::bind(self.listen, error))?;
        let recorder = builder()?.build_recorder();
        let (page, open) = (recorder.handle(), Arc::new(AtomicBool::new(true)));
        // The error holds the recorder and is no use to the caller.
        metrics::set_global_recorder(Gate::new(recorder, open.clone()))
            .map_err(|_| ExporterError::installed())?;
        describe();
        let tasks = [
            runtime.spawn(server::serve(listener, page.clone(), self.clock.clone())),
            runtime.spawn(upkeep(page.clone(), self.clock)),
        ];
        Ok(ExporterHandle { address, page, open, tasks })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, bound))
}

fn builder() -> Result<PrometheusBuilder, ExporterError> {
    // Full names are written in the catalogue: recommended naming would rename the article's pair.
    let mut builder = PrometheusBuilder::new();
    for metric in CATALOGUE.iter().chain(ARTICLE_PAIR) {
        let buckets = metric.buckets();
        if !buckets.is_empty() {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, &buckets).map_err(ExporterError::settings)?;
        }
    }
    Ok(builder)
}

async fn upkeep(page: PrometheusHandle, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep_until(clock.now() + UPKEEP).await;
        page.run_upkeep();
    }
}

/// The running exporter. Dropping it ends the server and the upkeep, and the recorder takes nothing more: a process has one recorder
/// for ever, so another cannot be installed afterwards.
#[must_use = "dropping the handle ends the exporter"]
pub struct ExporterHandle {
    address: SocketAddr,
    page: PrometheusHandle,
    open: Arc<AtomicBool>,
    tasks: [JoinHandle<()>; 2],
}

impl ExporterHandle {
    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page as a scrape would read it: Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        self.page.render()
    }

    /// Ends the server, open scrapes included, and waits until its socket is closed.
    pub async fn shutdown(mut self) {
        self.stop();
        for task in &mut self.tasks {
            // Aborted just now; there is no other error and nothing to learn from it.
            let _ = task.await;
        }
    }

    fn stop(&self) {
        self.open.store(false, Ordering::Release);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for ExporterHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for ExporterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExporterHandle").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_the_handle_shuts_the_recorder_and_ends_the_tasks() {
        let recorder = builder().unwrap().build_recorder();
        let (page, open) = (recorder.handle(), Arc::new(AtomicBool::new(true)));
        let gate = Gate::new(recorder, open.clone());
        let tasks = [0, 1].map(|_| tokio::spawn(std::future::pending()));
        let ends = tasks.each_ref().map(JoinHandle::abort_handle);
        let count =
            || metrics::with_local_recorder(&gate, || metrics::counter!("counted_total").increment(1));

        let handle = ExporterHandle { address: PrometheusExporter::LISTEN, page: page.clone(), open, tasks };
        count();
        assert!(handle.render().contains("counted_total 1\n"));
        drop(handle);
        count();
        assert!(page.render().contains("counted_total 1\n"), "{}", page.render());
        while !ends.iter().all(|task| task.is_finished()) {
            tokio::task::yield_now().await;
        }
    }
}

//! From an origin to a live connection: dial, TLS, HTTP/1.1 handshake, under one deadline.

use std::sync::Arc;
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use trunkline_core_types::{AttemptError, Clock, ClockExt, FailureKind, InputError, Origin};

use super::io::{Counted, Stream, Written};
use super::pool::Live;
use crate::{Dial, TransportSettings, tls};

pub(super) struct Connector {
    origin: Origin,
    dial: Arc<dyn Dial>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    max_head: usize,
}

impl Connector {
    pub(super) fn new(
        origin: Origin,
        dial: Arc<dyn Dial>,
        settings: &TransportSettings,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, InputError> {
        let tls = match origin.is_https() {
            true => Some((tls::connector(settings, clock.clone())?, tls::server_name(&origin)?)),
            false => None,
        };
        Ok(Self { origin, dial, tls, max_head: settings.max_head })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A connection ready for a request. Nothing of a request has been written.
    pub(super) async fn connect(&self, clock: &dyn Clock, until: Instant) -> Result<Box<Live>, AttemptError> {
        clock.bounded(until, self.establish(clock)).await.unwrap_or_else(|| {
            Err(AttemptError::new(FailureKind::Timeout, "no connection in time; nothing was sent"))
        })
    }

    async fn establish(&self, clock: &dyn Clock) -> Result<Box<Live>, AttemptError> {
        let written = Written::default();
        let counted = Counted::new(self.dial.connect(&self.origin).await?, written.clone());
        let stream = match &self.tls {
            None => Stream::Plain(counted),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), counted).await.map_err(|error| {
                    AttemptError::new(
                        FailureKind::Tls,
                        "the TLS handshake failed; check the host and its certificate",
                    )
                    .with_source(error)
                })?;
                Stream::Tls(Box::new(TokioIo::new(stream)))
            }
        };
        // Bodies are small: copied behind the head, they leave with it in one write.
        let (sender, connection) =
            http1::Builder::new().max_buf_size(self.max_head).writev(false).handshake(stream).await.map_err(
                |error| {
                    AttemptError::new(FailureKind::Connect, "the connection could not be set up")
                        .with_source(error)
                },
            )?;
        Ok(Box::new(Live::new(sender, connection, written, clock.now())))
    }
}

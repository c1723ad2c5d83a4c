//! From an origin to a live connection: dial, TLS, HTTP/1.1 handshake, under one deadline.

use std::sync::Arc;
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use trunkline_core_types::{AttemptError, Clock, ClockExt, FailureKind, InputError, Origin};

use super::io::{Counted, Stream, Written};
use super::pool::Live;
use crate::{Dial, TransportSettings};

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
    ) -> Result<Self, InputError> {
        let tls = match origin.is_https() {
            true => Some((tls_connector(&settings.extra_roots)?, server_name(&origin)?)),
            false => None,
        };
        Ok(Self { origin, dial, tls, max_head: settings.max_head })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A connection ready for a request. Nothing of a request has been written.
    pub(super) async fn connect(&self, clock: &dyn Clock, until: Instant) -> Result<Live, AttemptError> {
        clock.bounded(until, self.establish(clock)).await.unwrap_or_else(|| {
            Err(AttemptError::new(FailureKind::Timeout, "no connection in time; nothing was sent"))
        })
    }

    async fn establish(&self, clock: &dyn Clock) -> Result<Live, AttemptError> {
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
                Stream::Tls(Box::new(stream))
            }
        };
        let (sender, connection) =
            http1::Builder::new().max_buf_size(self.max_head).handshake(TokioIo::new(stream)).await.map_err(
                |error| {
                    AttemptError::new(FailureKind::Connect, "the connection could not be set up")
                        .with_source(error)
                },
            )?;
        let connection = Box::new(connection);
        Ok(Live { sender, connection, written, ended: false, served: false, idle_since: clock.now() })
    }
}

fn server_name(origin: &Origin) -> Result<ServerName<'static>, InputError> {
    let host = origin.host().trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned())
        .map_err(|_| InputError::new("base_url", "the host is no DNS name or IP address that TLS can verify"))
}

/// The provider is passed by hand, so that no process-wide default is read or set.
fn tls_connector(extra_roots: &[u8]) -> Result<TlsConnector, InputError> {
    let bad = |problem: &str| InputError::new("extra_roots", problem);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(extra_roots)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("not a list of PEM certificates"))?;
    if roots.is_empty() && !extra_roots.is_empty() {
        return Err(bad("holds no PEM certificate"));
    }
    let verifier = match roots.is_empty() {
        true => Verifier::new(provider.clone()),
        false => Verifier::new_with_extra_roots(roots, provider.clone()),
    };
    let verifier = verifier.map_err(|_| bad("the machine's trusted certificates cannot be read"))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| bad("the crypto provider speaks neither TLS 1.2 nor 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

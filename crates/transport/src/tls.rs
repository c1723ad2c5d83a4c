//! TLS of the client: whom it trusts and how it shows itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretSlice};
use tokio_rustls::TlsConnector;
use trunkline_core_types::{Clock, InputError, Origin};
use zeroize::Zeroizing;

use crate::TransportSettings;

/// The certificate with which the client shows itself to a server that asks for one (mutual TLS). Cheap to clone.
///
/// It is shown to the one origin of the client it is configured for. In TLS 1.2 a server refuses it in the handshake (`Unsent`); in TLS 1.3
/// only after our side is finished, so a create may be on its way and ends `Ambiguous`. The private key is held by the crypto library alone; `Debug` shows
/// neither it nor the certificates.
#[derive(Clone)]
pub struct ClientCertificate(Arc<CertifiedKey>);

impl ClientCertificate {
    /// A certificate from a PEM chain, the client's own first, and its private key: PEM in PKCS #8, PKCS #1 or SEC 1, not encrypted.
    /// The key's text is wiped before this returns.
    ///
    /// # Errors
    /// [`InputError`] on `client_certificate` if either cannot be read, or the key is not the certificate's.
    pub fn new(chain: &[u8], key: SecretSlice<u8>) -> Result<Self, InputError> {
        let bad = |problem: &str| InputError::new("client_certificate", problem);
        let chain = certificates("client_certificate", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret())
            .map(Zeroizing::new)
            .map_err(|_| bad("the key is no PEM private key, or it is encrypted; write it as PKCS #8"))?;
        let key = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| bad("the key is of a kind that TLS cannot use; use RSA, ECDSA or Ed25519"))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self(Arc::new(certified))),
            Err(_) => Err(bad("the key does not belong to the first certificate of the chain")),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({} certificates, key REDACTED)", self.0.cert.len())
    }
}

/// The name that the server's certificate must carry.
pub(crate) fn server_name(origin: &Origin) -> Result<ServerName<'static>, InputError> {
    let host = origin.host().trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned())
        .map_err(|_| InputError::new("base_url", "the host is no DNS name or IP address that TLS can verify"))
}

/// TLS 1.2 and 1.3. Crypto provider and time are passed by hand, so that nothing process-wide is read or set.
pub(crate) fn connector(
    settings: &TransportSettings,
    clock: Arc<dyn Clock>,
) -> Result<TlsConnector, InputError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(WallTime(clock)))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| InputError::new("base_url", "the crypto provider speaks neither TLS 1.2 nor 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(settings, provider)?);
    let config = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate(key)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())))
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn verifier(
    settings: &TransportSettings,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, InputError> {
    let TransportSettings { extra_roots, only_roots, .. } = settings;
    match (extra_roots.is_empty(), only_roots.is_empty()) {
        (false, false) => Err(InputError::new(
            "only_roots",
            "replaces the machine's roots; leave extra_roots empty beside it",
        )),
        (_, false) => only(certificates("only_roots", only_roots)?, provider),
        (true, true) => platform("base_url", Verifier::new(provider)),
        (false, true) => {
            let roots = certificates("extra_roots", extra_roots)?;
            platform("extra_roots", Verifier::new_with_extra_roots(roots, provider))
        }
    }
}

fn platform(
    field: &'static str,
    verifier: Result<Verifier, rustls::Error>,
) -> Result<Arc<dyn ServerCertVerifier>, InputError> {
    let verifier = verifier.map_err(|_| {
        InputError::new(field, "the trusted certificates, the machine's or these, cannot be used for TLS")
    })?;
    Ok(Arc::new(verifier))
}

fn only(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, InputError> {
    let bad = |_| InputError::new("only_roots", "holds a certificate that cannot be a root");
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(bad)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|_| InputError::new("only_roots", "cannot be used to verify a server"))?;
    Ok(verifier)
}

fn certificates(field: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InputError> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| InputError::new(field, "not a list of PEM certificates"))?;
    if list.is_empty() {
        return Err(InputError::new(field, "holds no PEM certificate"));
    }
    Ok(list)
}

/// Whether a certificate has expired is asked of the client's own clock.
#[derive(Debug)]
struct WallTime(Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since: Duration = self.0.wall().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

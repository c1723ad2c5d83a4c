//! Settings of the HTTP client, with the values they start from.

use std::time::Duration;

use trunkline_core_types::InputError;

use crate::ClientCertificate;

/// Whether a connection that has carried a request may carry another.
///
/// A server that closes an idle connection in the same instant in which a request is written on it has read nothing, but that cannot be
/// proven: the attempt is `Ambiguous`. `idle_timeout` below the server's own time makes this rare; only a connection that never served
/// rules it out. A connection made ahead (`warm`) has not served and may carry any request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reuse {
    /// Every request takes a pooled connection. The cheapest: no handshake once the pool is warm. Safe as far as `idle_timeout` is
    /// below the server's.
    #[default]
    Always,
    /// Creates take a connection that never served; reads and changes reuse. Costs one connect (with TLS two round trips and the
    /// handshake's CPU) for each create, which the limiter's `warm` hides behind its wait.
    NeverForCreates,
    /// Every connection carries one request and is closed after its reply. Costs a connect for each request.
    Never,
}

/// Times, bounds and trust of one client. Plain data; [`Default`] gives the values named here.
#[derive(Clone)]
#[non_exhaustive]
pub struct TransportSettings {
    /// Name look-up, connect and TLS handshake together. Default 3 s. Too small makes `Unsent` on slow networks, which is harmless.
    pub connect_timeout: Duration,
    /// From the last byte sent, or received, to the next one received. Default 10 s. Too small makes unknown outcomes of calls that were
    /// placed.
    pub read_timeout: Duration,
    /// An operation with all its waits and repeats, where the caller sets no deadline. Default 30 s.
    pub total_timeout: Duration,
    /// Idle connections kept; above it the oldest is closed. Default 100; 0 keeps none but one that `warm` made and no request has used. It
    /// is no cap on connections: each attempt under way holds one, so at most `max_idle` and the limiter's in-flight permits together are
    /// open.
    pub max_idle: usize,
    /// How long a connection may be taken again, counted from the start of its last request; must be below the server's own idle time
    /// less the way there, or creates become ambiguous. Default 15 s. Half the server's time is a good value where that is known.
    pub idle_timeout: Duration,
    /// Whether a connection that has served a request serves another. Default [`Reuse::Always`].
    pub reuse: Reuse,
    /// The longest reply body, in bytes. Default 1 MiB. A longer one is an error; its class is what the head says.
    pub max_reply: usize,
    /// The longest reply head, in bytes. Default 64 KiB; at least 8 KiB. It is read in blocks: a shorter head is always taken, one of twice
    /// the bound never, nor one of more than 100 lines.
    pub max_head: usize,
    /// Certificates (PEM) trusted beside the machine's own. Default none.
    pub extra_roots: Vec<u8>,
    /// Certificates (PEM) trusted instead of the machine's own: a private authority, or one public one that is pinned. Default none, the
    /// machine's are trusted. Not together with `extra_roots`. Revocation is not looked up.
    pub only_roots: Vec<u8>,
    /// How the client shows itself to a server that asks for a certificate. Default: it has none.
    pub client_certificate: Option<ClientCertificate>,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            max_idle: 100,
            idle_timeout: Duration::from_secs(15),
            reuse: Reuse::Always,
            max_reply: 1 << 20,
            max_head: 64 << 10,
            extra_roots: Vec::new(),
            only_roots: Vec::new(),
            client_certificate: None,
        }
    }
}

impl TransportSettings {
    /// Checks that every value can work.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn check(&self) -> Result<(), InputError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
            ("total_timeout", self.total_timeout),
            ("idle_timeout", self.idle_timeout),
        ];
        for (field, time) in times {
            if time.is_zero() || time > DAY {
                return Err(InputError::new(
                    field,
                    format!("must be above zero and at most a day; got {time:?}"),
                ));
            }
        }
        if self.max_head < 8 << 10 {
            return Err(InputError::new("max_head", "must be at least 8 KiB"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for TransportSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportSettings")
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("max_idle", &self.max_idle)
            .field("idle_timeout", &self.idle_timeout)
            .field("reuse", &self.reuse)
            .field("max_reply", &self.max_reply)
            .field("max_head", &self.max_head)
            .field("extra_roots", &format_args!("{} bytes", self.extra_roots.len()))
            .field("only_roots", &format_args!("{} bytes", self.only_roots.len()))
            .field("client_certificate", &self.client_certificate)
            .finish()
    }
}

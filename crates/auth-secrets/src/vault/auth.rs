//! The answer to a login or a renewal: a token and how long it lasts.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::errors::Failure;

/// The largest answer to a login, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What a login or renewal gave.
pub(super) struct Auth {
    pub(super) client_token: SecretString,
    lease_duration: u64,
    renewable: bool,
}

impl Auth {
    pub(super) fn lease(&self) -> Duration {
        // Vault's own limit is 32 days by default; a year keeps the arithmetic safe.
        Duration::from_secs(self.lease_duration.min(365 * 24 * 3600))
    }

    /// The lease from `now` on; a duration of zero means that the token does not end.
    pub(super) fn lasting(&self, now: Instant) -> Option<Lease> {
        let length = self.lease();
        // The last tenth, and at least 5 s, are not relied on.
        let usable = length.saturating_sub((length / 10).max(Duration::from_secs(5)));
        let renew_at = now + usable.min(length * 2 / 3);
        let lease = Lease { renew_at, end: now + usable, length, renewable: self.renewable };
        (!length.is_zero()).then_some(lease)
    }
}

/// How long a token lasts.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) renew_at: Instant,
    pub(super) end: Instant,
    pub(super) length: Duration,
    pub(super) renewable: bool,
}

/// Sends a login or a renewal and reads what it gave.
pub(super) async fn send(request: reqwest::RequestBuilder) -> Result<Auth, Failure> {
    let mut response = request.send().await.map_err(|error| Failure::of_connection(&error))?;
    match response.status().as_u16() {
        200..=299 => {}
        // A bad AppRole pair is a 400, an unknown mount a 403 or 404.
        status @ (400 | 401 | 403 | 404) => return Err(Failure::LoginRefused(status)),
        status => return Err(Failure::Status(status)),
    }
    let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024));
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::of_connection(&error))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Failure::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| Failure::Unreadable)?;
    let GivenAuth { client_token, lease_duration, renewable } = answer.auth.ok_or(Failure::Unreadable)?;
    Ok(Auth { client_token: client_token.into(), lease_duration, renewable })
}

#[derive(Deserialize)]
struct Answer {
    auth: Option<GivenAuth>,
}

#[derive(Deserialize)]
struct GivenAuth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

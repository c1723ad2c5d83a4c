//! What Vault's answers mean. Only the status and the shape of a body are kept, never its text.

use std::error::Error;

use rustify::errors::ClientError as RestError;
use serde::Deserialize;
use trunkline_core_types::{KeyError, KeyErrorKind};
use vaultrs::error::ClientError;

use super::settings::Checked;

/// Why Vault gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// 403: no policy, or a token that is over.
    Forbidden,
    /// A login that Vault refused with this status.
    LoginRefused(u16),
    /// 404 of a version that was deleted or destroyed.
    Gone(u64),
    /// 404 of anything else.
    NotFound,
    /// Any other status.
    Status(u16),
    /// No connection.
    Connect,
    /// Connecting or reading took too long.
    Slow,
    /// The connection broke, or what came is not Vault's answer.
    Unreadable,
    /// The secret is there, the field is not what it should be.
    Field { name: String, problem: &'static str },
}

impl Failure {
    /// The failure of a KV read.
    pub(super) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::APIError { code, .. } => Self::of_status(*code, None),
            ClientError::RestClientError { source: RestError::ServerResponseError { code, content } } => {
                Self::of_status(*code, content.as_deref())
            }
            other => Self::of_connection(other),
        }
    }

    fn of_status(status: u16, body: Option<&str>) -> Self {
        match status {
            403 => Self::Forbidden,
            404 => body.and_then(gone).map_or(Self::NotFound, Self::Gone),
            status => Self::Status(status),
        }
    }

    /// Looks for the HTTP client's own error below; what is above it may hold a body.
    pub(super) fn of_connection(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<reqwest::Error>() {
                Some(error) if error.is_timeout() => return Self::Slow,
                Some(error) if error.is_connect() => return Self::Connect,
                _ => cause = error.source(),
            }
        }
        Self::Unreadable
    }

    pub(super) fn of_read(self, settings: &Checked) -> KeyError {
        let place = format!("{}/{}", settings.mount, settings.path);
        match self {
            Self::Forbidden => denied(format!(
                "vault: reading {place} is not allowed (403); grant the token's policy read on {}/data/{}, or issue a new token",
                settings.mount, settings.path
            )),
            Self::Gone(version) => denied(format!(
                "vault: version {version} of {place} was deleted or destroyed; write a new version"
            )),
            Self::NotFound => KeyError::new(
                KeyErrorKind::Missing,
                format!(
                    "vault: nothing at {place} (404); check mount and path, the engine must be KV version 2"
                ),
            ),
            Self::Field { name, problem } => KeyError::new(
                KeyErrorKind::Invalid,
                format!("vault: field {name} of {place} {problem}; write a new version of the secret"),
            ),
            other => other.of_server("the read"),
        }
    }

    /// The failure of a login or of a renewal; `step` says of which.
    pub(super) fn of_login(self, step: &str) -> KeyError {
        match self {
            Self::LoginRefused(status) => denied(format!(
                "vault: {step} was refused ({status}); check role_id, login_mount and namespace, and issue a new secret_id"
            )),
            other => other.of_server(step),
        }
    }

    fn of_server(self, step: &str) -> KeyError {
        use KeyErrorKind::{Invalid, Timeout, Unavailable};
        const SERVES: &str = "the last good key serves until its hard TTL";
        let (kind, message) = match self {
            Self::Slow => (Timeout, format!("vault: {step} took too long; check the network, {SERVES}")),
            Self::Connect => {
                (Unavailable, format!("vault: no connection; check address, network and ca_file, {SERVES}"))
            }
            Self::Status(503) => {
                (Unavailable, format!("vault: sealed or without an active node (503); unseal it, {SERVES}"))
            }
            Self::Status(429) => (
                Unavailable,
                format!("vault: a rate quota is used up (429); raise it or read less, {SERVES}"),
            ),
            Self::Status(status @ (300..=399 | 412 | 472 | 473)) => (
                Unavailable,
                format!(
                    "vault: a standby node answered ({status}); point address to the active one, {SERVES}"
                ),
            ),
            Self::Status(status @ 400..=499) => {
                (Invalid, format!("vault: {step} is a bad request ({status}); check address and mount"))
            }
            Self::Status(status) => {
                (Unavailable, format!("vault: {step} failed in the server ({status}); see its log, {SERVES}"))
            }
            _ => (
                Unavailable,
                format!("vault: the answer to {step} is not Vault's; check what is at address, {SERVES}"),
            ),
        };
        KeyError::new(kind, message)
    }
}

fn denied(message: String) -> KeyError {
    KeyError::new(KeyErrorKind::Denied, message)
}

/// The version, if this is how KV answers for one that was deleted or destroyed.
fn gone(body: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        version: u64,
    }
    serde_json::from_str::<Answer>(body).ok().map(|answer| answer.data.metadata.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(code: u16, body: &str) -> ClientError {
        ClientError::RestClientError {
            source: RestError::ServerResponseError { code, content: Some(body.to_owned()) },
        }
    }

    #[test]
    fn a_404_tells_a_deleted_version_from_nothing() {
        let deleted =
            r#"{"data":{"data":null,"metadata":{"version":3,"destroyed":false,"deletion_time":"x"}}}"#;
        assert_eq!(Failure::of(&rest(404, deleted)), Failure::Gone(3));
        assert_eq!(Failure::of(&rest(404, "<html>")), Failure::NotFound);
        assert_eq!(Failure::of(&ClientError::APIError { code: 404, errors: vec![] }), Failure::NotFound);
    }

    #[test]
    fn statuses_have_kinds_whichever_way_they_come() {
        use KeyErrorKind::{Denied, Invalid, Missing, Unavailable};
        let login = crate::VaultLogin::Token("t".into());
        let settings =
            Checked::new(crate::VaultSettings::new("http://localhost:1", "kv", "app", login)).unwrap();
        for (code, kind) in [
            (307, Unavailable),
            (400, Invalid),
            (403, Denied),
            (404, Missing),
            (412, Unavailable),
            (429, Unavailable),
            (473, Unavailable),
            (500, Unavailable),
            (503, Unavailable),
        ] {
            let api = ClientError::APIError { code, errors: vec!["canary".to_owned()] };
            for error in [api, rest(code, "canary"), rest(code, "")] {
                let error = Failure::of(&error).of_read(&settings);
                assert_eq!(error.kind(), kind, "{code}");
                assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            }
        }
    }
}

//! The token: made once, kept for its lease, replaced when it ends.

use std::fmt;
use std::sync::{self, Arc, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use trunkline_core_types::{Clock, ClockExt, KeyError, KeyErrorKind, KeyProvider};
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};

use super::auth::{Auth, Lease, send};
use super::errors::Failure;
use super::settings::{Checked, VaultLogin, is_token};
use crate::FileKeys;

/// Least time between two logins that a 403 forced.
const FORCED_EVERY: Duration = Duration::from_secs(10);

/// The longest a renewal, or a login, may take while the token in hand lasts.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// Longer than the state is held by anybody who is polled.
const LONGEST_TURN: Duration = Duration::from_secs(6);

/// A token and the client that sends it.
pub(super) struct Session {
    client: VaultClient,
    lease: Option<Lease>,
    /// The token file's version, where it came from one.
    file: Option<String>,
}

impl Session {
    pub(super) fn client(&self) -> &VaultClient {
        &self.client
    }

    fn lasts(&self, now: Instant) -> bool {
        self.lease.as_ref().is_none_or(|lease| now < lease.end)
    }
}

/// Hands out the session that all callers share.
pub(super) struct Sessions {
    settings: Arc<Checked>,
    clock: Arc<dyn Clock>,
    token_file: Option<FileKeys>,
    turn: sync::Mutex<Turn>,
}

struct Turn {
    /// Held through a login, so that there is one for all callers; each waits no longer than its own deadline.
    state: Arc<Mutex<State>>,
    /// Since when it is held, if it is.
    since: Instant,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    forced: Option<Instant>,
}

impl Sessions {
    pub(super) fn new(settings: Arc<Checked>, clock: Arc<dyn Clock>) -> Self {
        let token_file = match &settings.login {
            VaultLogin::TokenFile(path) => Some(FileKeys::new(path).with_clock(clock.clone())),
            _ => None,
        };
        let turn = Turn { state: Arc::default(), since: clock.now() };
        Self { settings, clock, token_file, turn: sync::Mutex::new(turn) }
    }

    async fn state(&self) -> OwnedMutexGuard<State> {
        let state = match self.try_state() {
            Ok(state) => return state,
            Err(held) => held,
        };
        let state = state.lock_owned().await;
        self.turn().since = self.clock.now();
        state
    }

    /// The state, or the lock to wait for.
    fn try_state(&self) -> Result<OwnedMutexGuard<State>, Arc<Mutex<State>>> {
        let (mut turn, now) = (self.turn(), self.clock.now());
        // Whoever has it is not polled and may never be: it keeps that state, and the others log in anew.
        if turn.state.try_lock().is_err() && now.saturating_duration_since(turn.since) > LONGEST_TURN {
            turn.state = Arc::default();
        }
        let state = turn.state.clone().try_lock_owned().map_err(|_| turn.state.clone())?;
        turn.since = now;
        Ok(state)
    }

    fn turn(&self) -> sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, logged in or renewed if it is time; true if its token was made just now.
    pub(super) async fn current(&self) -> Result<(Arc<Session>, bool), KeyError> {
        let mut state = self.state().await;
        if let Some(file) = &self.token_file {
            let (session, changed) = self.token_file_session(file, state.session.as_ref()).await?;
            state.session = Some(session.clone());
            return Ok((session, changed));
        }
        let (session, just_made) = match &state.session {
            Some(session) if session.lasts(self.clock.now()) => self.kept(session).await?,
            _ => (Arc::new(self.log_in().await?), true),
        };
        state.session = Some(session.clone());
        Ok((session, just_made))
    }

    /// A session with another token than the one that was refused.
    pub(super) async fn fresh(&self, refused: &Arc<Session>) -> Result<Arc<Session>, KeyError> {
        let mut state = self.state().await;
        if let Some(session) = state.session.as_ref().filter(|session| !Arc::ptr_eq(session, refused)) {
            return Ok(session.clone());
        }
        let now = self.clock.now();
        if state.forced.is_some_and(|at| now.saturating_duration_since(at) < FORCED_EVERY) {
            return Err(Failure::Forbidden.of_read(&self.settings));
        }
        let session = match &self.token_file {
            Some(file) => self.token_file_session(file, Some(refused)).await?.0,
            None => self.forced_login(&mut state.forced, now).await?,
        };
        if Arc::ptr_eq(&session, refused) {
            return Err(Failure::Forbidden.of_read(&self.settings));
        }
        state.session = Some(session.clone());
        Ok(session)
    }

    async fn forced_login(
        &self,
        forced: &mut Option<Instant>,
        now: Instant,
    ) -> Result<Arc<Session>, KeyError> {
        if let VaultLogin::Token(_) = &self.settings.login {
            return Err(Failure::Forbidden.of_read(&self.settings));
        }
        let result = self.log_in().await;
        // A login that never reached Vault says nothing about the token, and may be tried again.
        if !result.as_ref().is_err_and(|error| error.kind().is_outage()) {
            *forced = Some(now);
        }
        result.map(Arc::new)
    }

    /// The session whose token still lasts, renewed or replaced where it is time; true if it was replaced. Vault may read while it does
    /// neither: then it is kept as it is.
    async fn kept(&self, session: &Arc<Session>) -> Result<(Arc<Session>, bool), KeyError> {
        let now = self.clock.now();
        let Some(lease) = session.lease.as_ref().filter(|lease| now >= lease.renew_at) else {
            return Ok((session.clone(), false));
        };
        if lease.renewable {
            let token = &session.client.middle.token;
            let renewal = self.ask("auth/token/renew-self", Some(token), b"{}".to_vec());
            match self.clock.bounded(now + LONGEST_STEP, renewal).await.unwrap_or(Err(Failure::Slow)) {
                // Near its longest life a token is renewed for less than was asked.
                Ok(auth) if auth.lease() >= lease.length / 2 => {
                    return Ok((Arc::new(self.session(token, auth.lasting(now))?), false));
                }
                Err(
                    Failure::Connect | Failure::Slow | Failure::Unreadable | Failure::Status(429 | 500..),
                ) => {
                    return Ok((session.clone(), false));
                }
                _ => {}
            }
        }
        match self.clock.bounded(self.clock.now() + LONGEST_STEP, self.log_in()).await {
            Some(Ok(made)) => Ok((Arc::new(made), true)),
            Some(Err(error)) if !error.kind().is_outage() => Err(error),
            Some(Err(_)) | None => Ok((session.clone(), false)),
        }
    }

    async fn log_in(&self) -> Result<Session, KeyError> {
        match &self.settings.login {
            VaultLogin::Token(token) => self.session(token.expose_secret(), None),
            VaultLogin::TokenFile(_) => Err(token_file_unusable()),
            VaultLogin::AppRole { mount, role_id, secret_id } => {
                let body = LoginBody { role_id, secret_id: secret_id.expose_secret() };
                let body = serde_json::to_vec(&body).unwrap_or_default();
                let now = self.clock.now();
                let step = "the AppRole login";
                let auth = self.ask(&format!("auth/{mount}/login"), None, body).await;
                let auth = auth.map_err(|failure| failure.of_login(step))?;
                if !is_token(auth.client_token.expose_secret()) {
                    return Err(Failure::Unreadable.of_login(step));
                }
                tracing::debug!("vault: logged in with AppRole");
                self.session(auth.client_token.expose_secret(), auth.lasting(now))
            }
        }
    }

    /// The session of the token in the file: the one in hand if the file did not change.
    async fn token_file_session(
        &self,
        file: &FileKeys,
        in_hand: Option<&Arc<Session>>,
    ) -> Result<(Arc<Session>, bool), KeyError> {
        let deadline = self.clock.now() + super::LONGEST_CALL;
        // Whatever is wrong with the file, the secret in Vault was not revoked by it.
        let token = file.keys(deadline).await.map_err(|error| token_file_unusable().with_source(error))?;
        let (token, version) = (token.current.expose(), token.current.version());
        if let Some(session) = in_hand.filter(|session| session.file.as_deref() == Some(version)) {
            return Ok((session.clone(), false));
        }
        if !is_token(token) {
            return Err(token_file_unusable());
        }
        let mut session = self.session(token, None)?;
        session.file = Some(version.to_owned());
        Ok((Arc::new(session), true))
    }

    fn session(&self, token: &str, lease: Option<Lease>) -> Result<Session, KeyError> {
        // Every setting that has a default in the environment is given, so that nothing is taken from there.
        let settings = VaultClientSettingsBuilder::default()
            .address(&self.settings.base)
            .ca_certs(Vec::new())
            .identity(None)
            .token(token)
            .verify(true)
            .build()
            .map_err(|_| Failure::Unreadable.of_login("the set-up"))?;
        let middle = EndpointMiddleware {
            token: token.to_owned(),
            version: "v1".to_owned(),
            wrap: None,
            namespace: self.settings.namespace.clone(),
        };
        // Made of its parts: `VaultClient::new` would build a client that follows redirects and waits for ever.
        let http = rustify::clients::reqwest::Client::new(&self.settings.base, self.settings.http.clone());
        Ok(Session { client: VaultClient { http, middle, settings }, lease, file: None })
    }

    /// A login or a renewal. Not through vaultrs, which cannot read an answer without `token_policies`, and then prints the token.
    async fn ask(&self, path: &str, token: Option<&str>, body: Vec<u8>) -> Result<Auth, Failure> {
        let mut url = reqwest::Url::parse(&self.settings.base).map_err(|_| Failure::Unreadable)?;
        url.path_segments_mut()
            .map_err(|()| Failure::Unreadable)?
            .pop_if_empty()
            .push("v1")
            .extend(path.split('/'));
        let mut request = self.settings.http.post(url).header(CONTENT_TYPE, "application/json").body(body);
        request = request.header("x-vault-request", "true");
        if let Some(namespace) = &self.settings.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|_| Failure::Unreadable)?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        send(request).with_subscriber(NoSubscriber::default()).await
    }
}

fn token_file_unusable() -> KeyError {
    let unusable =
        "vault: the token file cannot be used; check that it exists and holds one token and nothing else";
    KeyError::new(KeyErrorKind::Unavailable, unusable)
}

#[derive(Serialize)]
struct LoginBody<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

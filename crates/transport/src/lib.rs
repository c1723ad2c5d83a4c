//! An HTTP/1.1 client that knows whether a request left, and the layers around it: retry, limiter, breaker, signer, journal.
//!
//! [`HttpClient`] is the leaf. Its attempts drive their own connections, so that giving up is dropping: the socket is reset there and
//! then, and the bytes written decide whether the request was `Unsent` or `Ambiguous`. The layers implement the same `HttpService`;
//! whoever composes them decides the order (outermost first: retry, limiter, breaker, signer, journal, client).
//!
//! This crate never decides what to send, knows no provider, follows no redirect, and repeats a create only with the retry gate's token.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use bytes::Bytes;
//! use http::Request;
//! use trunkline_core_types::{Attempt, Clock, Deadline, HttpService, StatusOnly, SystemClock};
//! use trunkline_transport::{HttpClient, TransportSettings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(SystemClock::new());
//! let origin = "https://pay.example.com".parse()?;
//! let client = HttpClient::new(origin, TransportSettings::default(), Arc::new(StatusOnly::default()), clock.clone())?;
//!
//! let request = Request::get("https://pay.example.com/payments/17").body(Bytes::new())?;
//! let outcome = client.send(Attempt::read(request, Deadline::At(clock.now() + Duration::from_secs(30)))).await;
//! println!("{}: {:?}", outcome.class, outcome.status());
//! # Ok(())
//! # }
//! ```
//!
//! Features (none by default): `reqwest` (a leaf over a reqwest client), `tower` (a tower service as the leaf, a stack as a tower service).

mod address;
mod breaker;
#[cfg(any(feature = "reqwest", feature = "tower"))]
mod foreign;
#[cfg(any(feature = "reqwest", feature = "tower"))]
mod gate_body;
mod http_client;
mod journaled;
mod limiter;
mod proxy;
mod ready;
#[cfg(feature = "reqwest")]
mod reqwest_adapter;
mod retry;
mod settings;
mod signer;
mod sync;
mod tcp;
mod tls;
#[cfg(feature = "tower")]
mod tower_adapter;
mod wire;

pub use address::{PublicOnly, is_public, public_address_only};
pub use breaker::{Breaker, BreakerHandle, BreakerSettings};
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub use gate_body::{GateBody, GateShut};
pub use http_client::HttpClient;
pub use journaled::Journaled;
pub use limiter::Limiter;
pub use proxy::{ProxyDial, ProxySettings};
#[cfg(feature = "reqwest")]
pub use reqwest_adapter::ReqwestService;
pub use retry::{BudgetSettings, Retry, RetryBudget, RetrySettings};
pub use settings::{Reuse, TransportSettings};
pub use signer::Signer;
pub use tcp::{Resolve, SystemResolve, TcpDial};
pub use tls::ClientCertificate;
#[cfg(feature = "tower")]
pub use tower_adapter::{ServiceFor, TowerService};
pub use wire::{Dial, Wire};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

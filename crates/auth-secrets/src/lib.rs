//! API keys behind one seam, and the signers that put them on a request.
//!
//! A key comes from the environment, a file or HashiCorp Vault (feature `vault`), through one cache that serves the last good key while
//! its store is out and never after it was revoked. A signer is bound to one origin and never signs for another. This crate never
//! speaks to a telephony provider, and nothing in it prints a key: no `Debug`, no error, no log line.
//!
//! ```
//! use std::sync::Arc;
//! use trunkline_auth_secrets::{BearerSigner, Signers, StaticKeys, X_SIGNATURE, XSignatureSigner};
//! use trunkline_core_types::{Clock, Sign, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let origin: trunkline_core_types::Origin = "https://voice.example.com".parse()?;
//! let api_key = Arc::new(StaticKeys::new("demo-api-key".into())?);
//! let secret = Arc::new(StaticKeys::new("demo-signing-secret".into())?);
//! let signers = Signers::new(BearerSigner::new(origin.clone(), api_key))
//!     .with_body_signature(XSignatureSigner::new(origin, secret));
//!
//! let mut request = http::Request::post("https://voice.example.com/v1/calls").body(bytes::Bytes::from("{}"))?;
//! let deadline = SystemClock::new().now() + std::time::Duration::from_secs(1);
//! signers.sign(&mut request, deadline).await?;
//! assert!(request.headers()[X_SIGNATURE].to_str()?.starts_with("sha256="));
//! assert!(!format!("{request:?}").contains("demo-api-key"));
//! # Ok(())
//! # }
//! ```

mod cache;
mod env;
mod file;
mod fixed;
#[cfg(feature = "vault")]
mod vault;

mod key_signer;

mod basic;
mod bearer;
mod chain;
mod x_signature;

mod counted;
mod sync;

pub use basic::{Basic, BasicSigner};
pub use bearer::{Bearer, BearerSigner};
pub use cache::{CacheSettings, CachedKeys};
pub use chain::Signers;
pub use env::EnvKeys;
pub use file::FileKeys;
pub use fixed::StaticKeys;
pub use key_signer::{KeySigner, Scheme};
#[cfg(feature = "vault")]
pub use vault::{VaultKeys, VaultLogin, VaultSettings};
pub use x_signature::{X_SIGNATURE, XSignature, XSignatureSigner};

// With every feature, because it has an example of each.
#[cfg(all(doctest, feature = "vault"))]
#[doc = include_str!("../README.md")]
struct Readme;

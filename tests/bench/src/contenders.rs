//! The clients that are measured, each as its users would set it up, behind one trait.

mod ours;
mod theirs;

use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use ours::{Full, KEY, OurBare, SECRET, account, client};
pub(crate) use theirs::{HyperUtil, Reqwest, Telnyx};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Our HTTP client alone.
    OurBare,
    /// `Client::place` with everything on, and no recorder of metrics.
    Full,
    /// The same with the Prometheus recorder installed.
    FullRecorded,
    /// hyper-util's pooled client.
    HyperUtil,
    /// reqwest.
    Reqwest,
    /// A vendor SDK on reqwest.
    Telnyx,
}

impl Kind {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 6] =
        [Self::HyperUtil, Self::OurBare, Self::Full, Self::FullRecorded, Self::Reqwest, Self::Telnyx];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OurBare => "trunkline HttpClient, bare",
            Self::Full => "trunkline Client::place, full stack",
            Self::FullRecorded => "the same, Prometheus recorder on",
            Self::HyperUtil => "hyper-util legacy client, bare",
            Self::Reqwest => "reqwest 0.13, bare",
            Self::Telnyx => "telnyx 0.1, calls().dial()",
        }
    }

    /// Its name on the command line.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::OurBare => "our-bare",
            Self::Full => "full",
            Self::FullRecorded => "full-recorded",
            Self::HyperUtil => "hyper-util",
            Self::Reqwest => "reqwest",
            Self::Telnyx => "telnyx",
        }
    }
}

/// Makes one call and reads its reply whole; anything but a success is an error.
pub(crate) trait Contender: Send + Sync + Sized + 'static {
    /// A client of this server. Called inside the runtime.
    fn new(server: SocketAddr) -> Result<Self>;

    /// One call.
    fn call(&self) -> impl Future<Output = Result<()>> + Send;
}

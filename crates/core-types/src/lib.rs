//! Words, seams and pure rules.

mod clock;
#[cfg(feature = "system")]
mod system;

pub use clock::{Clock, Entropy, EntropyExt, SeededEntropy};
#[cfg(feature = "test-util")]
pub use system::VirtualClock;
#[cfg(feature = "system")]
pub use system::{SystemClock, SystemEntropy};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

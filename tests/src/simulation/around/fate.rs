//! What a create comes to, drawn per key and request.

use std::fmt;
use std::time::Duration;

use trunkline_core_types::{EntropyExt, SeededEntropy};

/// Whether and when it rings, and what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// How long after the last byte it rings; never without one.
    pub(super) rings: Option<Duration>,
    /// Before this there is no answer.
    pub(super) after: Duration,
    /// The status of the answer; a reset without one.
    pub(super) status: Option<u16>,
}

/// A create is acted on within this time of its last byte, or never.
pub(super) const PROCESSING: Duration = Duration::from_secs(60);

impl Fate {
    /// Faulty so many times of a thousand, where the fault that was drawn happens.
    pub(super) fn draw(entropy: &SeededEntropy, faults: u64, happens: impl FnOnce() -> bool) -> Self {
        let after = Duration::from_millis(20 + entropy.below(200));
        let good = Self { rings: Some(Duration::ZERO), after, status: Some(201) };
        if entropy.below(1_000) >= faults || !happens() {
            return good;
        }
        // Half of the late ones in the last seconds, when a caller's time and his fence are over.
        let last = [0.0, 0.7][entropy.below(2) as usize];
        let late = (PROCESSING - Duration::from_secs(1)).mul_f64(last + (1.0 - last) * entropy.fraction());
        let hangs = Duration::from_secs(120);
        let lost = [503, 500, 302, 409][entropy.below(4) as usize];
        match entropy.below(10) {
            0 => Self { status: Some(lost), ..good },
            1 => Self { status: None, ..good },
            2 => Self { rings: None, status: Some(lost), ..good },
            3 => Self { rings: None, status: None, ..good },
            4 | 5 => Self { rings: Some(late), after: hangs, status: None },
            6 | 7 => Self { rings: Some(late), status: Some(503), ..good },
            8 => Self { rings: None, after: hangs, status: None },
            _ => Self { rings: None, status: Some([400, 402, 429][entropy.below(3) as usize]), ..good },
        }
    }

    /// Whether the client knows from the answer that nobody is rung.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400..=402 | 429))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rings {
            None => f.write_str("rings nobody")?,
            Some(Duration::ZERO) => f.write_str("rings")?,
            Some(later) => write!(f, "rings after {} ms", later.as_millis())?,
        }
        let after = self.after.as_millis();
        match self.status {
            Some(status) => write!(f, "; answers {status} after {after} ms"),
            None => write!(f, "; the connection is reset after {after} ms"),
        }
    }
}

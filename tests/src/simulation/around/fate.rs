//! What a create comes to, drawn per key and request.

use std::time::Duration;

use trunkline_core_types::{Entropy, EntropyExt, SeededEntropy};

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
    pub(super) fn draw(seed: u64, key: &str, request: u32, faults: u64) -> Self {
        let mixed = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let key = key.bytes().fold(seed ^ u64::from(request) << 48, mixed);
        let entropy = SeededEntropy::new(SeededEntropy::new(key).next());
        let after = Duration::from_millis(20 + entropy.below(200));
        let good = Self { rings: Some(Duration::ZERO), after, status: Some(201) };
        if entropy.below(1_000) >= faults {
            return good;
        }
        let late = (PROCESSING - Duration::from_secs(1)).mul_f64(entropy.fraction());
        let hangs = Duration::from_secs(120);
        let lost = [503, 500, 302, 409][entropy.below(4) as usize];
        match entropy.below(8) {
            0 => Self { status: Some(lost), ..good },
            1 => Self { status: None, ..good },
            2 => Self { rings: None, status: Some(lost), ..good },
            3 => Self { rings: None, status: None, ..good },
            4 => Self { rings: Some(late), after: hangs, status: None },
            5 => Self { rings: Some(late), status: Some(503), ..good },
            6 => Self { rings: None, after: hangs, status: None },
            _ => Self { rings: None, status: Some([400, 402, 429][entropy.below(3) as usize]), ..good },
        }
    }

    /// Whether the client knows from the answer that nobody is rung.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400..=402 | 429))
    }
}

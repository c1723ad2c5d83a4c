//! What becomes of one request.

use std::fmt;
use std::time::Duration;

use trunkline_core_types::{EntropyExt, SeededEntropy};

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    /// The write side stops here.
    pub(super) write: Option<(usize, WriteEnd)>,
    /// At most so many bytes are taken at once.
    pub(super) gulp: usize,
    pub(super) acts: Acts,
    /// The reply waits so long.
    pub(super) delay: Duration,
    /// The reply stops here for a time.
    pub(super) stall: Option<(usize, Duration)>,
    /// At most so many bytes of it are read at once.
    pub(super) sip: usize,
    /// The reply is cut after so many bytes.
    pub(super) cut: Option<usize>,
    pub(super) end: ReadEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    Fails,
    /// Blocks, and takes bytes again after this time.
    Blocks(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acts {
    /// Rings and answers 201.
    Yes,
    /// Rings and answers this.
    YesAnswers(u16),
    /// Rings nobody and answers this.
    No(u16),
    /// Rings nobody and says nothing.
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Stays,
    Closes,
    Resets,
    Hangs,
}

impl Fate {
    /// Served well, in gulps and after a time that are drawn.
    pub(super) fn clean(entropy: &SeededEntropy) -> Self {
        let below = |bound: u64| entropy.below(bound);
        Self {
            write: None,
            gulp: if below(4) == 0 { 1 + below(40) as usize } else { usize::MAX },
            acts: Acts::Yes,
            delay: Duration::from_millis(below(200)),
            stall: None,
            sip: if below(8) == 0 { 1 + below(60) as usize } else { usize::MAX },
            cut: None,
            end: ReadEnd::Stays,
        }
    }

    /// The same with one fault.
    pub(super) fn faulty(self, entropy: &SeededEntropy) -> Self {
        let below = |bound: u64| entropy.below(bound);
        let end = [ReadEnd::Closes, ReadEnd::Resets, ReadEnd::Hangs][below(3) as usize];
        let mut fate = self;
        match below(10) {
            0 => fate.write = Some((below(400) as usize, WriteEnd::Fails)),
            1 => fate.write = Some((0, WriteEnd::Fails)),
            2 => {
                let long = Duration::from_millis(below(40_000));
                fate.write = Some((below(400) as usize, WriteEnd::Blocks(long)));
            }
            3 => (fate.cut, fate.end) = (Some(below(300) as usize), end),
            4 => (fate.acts, fate.end) = (Acts::Silent, end),
            5 => fate.acts = Acts::No([400, 402, 429, 500, 503, 409][below(6) as usize]),
            6 => fate.acts = Acts::YesAnswers([500, 503, 302, 409][below(4) as usize]),
            8 => fate.stall = Some((below(300) as usize, Duration::from_millis(below(40_000)))),
            7 => fate.delay = Duration::from_millis(below(30_000)),
            _ => fate.end = ReadEnd::Closes,
        }
        fate
    }
}

/// The fault in words; a clean fate has none.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.write {
            Some((at, WriteEnd::Fails)) => return write!(f, "the write fails at byte {at}"),
            Some((at, WriteEnd::Blocks(time))) => {
                return write!(f, "the write blocks at byte {at} for {} ms", time.as_millis());
            }
            None => {}
        }
        match self.acts {
            Acts::Yes => {}
            Acts::YesAnswers(status) => write!(f, "rings and answers {status}; ")?,
            Acts::No(status) => write!(f, "rings nobody and answers {status}; ")?,
            Acts::Silent => write!(f, "rings nobody and says nothing; ")?,
        }
        if let Some(at) = self.cut {
            write!(f, "the reply is cut at byte {at}; ")?;
        }
        write!(f, "the reply waits {} ms", self.delay.as_millis())?;
        if let Some((at, time)) = self.stall {
            write!(f, "; it stops at byte {at} for {} ms", time.as_millis())?;
        }
        match self.end {
            ReadEnd::Stays => Ok(()),
            ReadEnd::Closes => f.write_str("; the connection closes after it"),
            ReadEnd::Resets => f.write_str("; the connection is reset after it"),
            ReadEnd::Hangs => f.write_str("; the connection hangs after it"),
        }
    }
}

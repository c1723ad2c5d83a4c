//! Faults that a test build carries and a run chooses one of: `docs/simulation.md` says what finds each. No other build has them.

use std::sync::OnceLock;

/// Names the fault of this process; unset or empty for none.
pub const VARIABLE: &str = "TRUNKLINE_MUTATION";

static CHOSEN: OnceLock<String> = OnceLock::new();

macro_rules! mutations {
    ($($variant:ident $name:literal $what:literal $(=> $test:literal)?)*) => {
        /// One fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutation {
            $(#[doc = $what] $variant,)*
        }

        impl Mutation {
            /// Every fault, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its value of [`VARIABLE`].
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What is wrong with the code while it is on.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }

            /// The test that finds it, where it takes real threads, a kernel, or a peer that the simulation does not play.
            pub fn test(self) -> Option<&'static str> {
                match self { $(Self::$variant => None $(.or(Some($test)))?,)* }
            }
        }
    };
}

mutations! {
    BrokenIsUnsent "broken-is-unsent" "a timeout or broken connection is taken for unsent"
    LastClass "last-class" "the last class counts instead of the fold"
    BrokenReplyRepeats "broken-2xx-repeats" "a 2xx with a broken body may be repeated"
    WritesGoOn "writes-go-on" "a connection lives on after its attempt was given up"
    LatePermit "late-permit" "a permit that is too old is used"
    SlotBackAfterUse "slot-back-after-use" "the slot of an attempt that was sent goes back"
    PermitLeaked "permit-leaked" "a permit never comes back"
    PauseIgnored "pause-ignored" "a throttle pauses nobody"
    RepeatUnpaced "repeat-unpaced" "a repeat takes no permit of its own"
    LineIgnoresDeadline "line-ignores-deadline" "a wait for a permit passes the deadline"
    ReplyIgnoresDeadline "reply-ignores-deadline" "a wait for a reply passes the deadline"
    BlindRepeat "blind-repeat" "a create of unknown outcome is repeated blindly"
    KeysTrusted "keys-trusted" "idempotency keys are trusted that nobody honours"
    KeyChanged "key-changed" "a repeat carries another idempotency key"
    FailoverAmbiguous "failover-ambiguous" "an ambiguous call goes to another account"
    JournalAfterSend "journal-after-send" "an attempt is noted after it was sent"
    DialledIsPending "dialled-is-pending" "what was dialling when its process died may be dialled again"
    ClaimOverwrites "claim-overwrites" "a claim is a write and not a compare-and-insert"
    UnknownFreesKey "unknown-frees-key" "a call left with an unknown outcome frees its key"
    ProbeKept "probe-kept" "a breaker's probe that shows nothing is not returned"
    LeaseKept "lease-kept" "a live-call lease is not released"
    RefusedKeyAgain "refused-key-again" "each 401 on a dropped key is repeated"
    FenceIgnored "fence-ignored" "a reconcile does not wait for the fence"
    DelayIgnored "delay-ignored" "a reconcile does not wait for the provider's delays"
    DedupeOff "dedupe-off" "a callback is taken as often as it comes"
    EventOrder "event-order" "the event that arrives last tells where a call stands"
    ForgedTaken "forged-taken" "a callback's signature is not checked"
    Lingers "lingers" "a socket is closed without linger 0"
        => "trunkline-transport loopback::linger_zero_takes_back_what_the_kernel_had_accepted"
    CountedEarly "counted-early" "the bytes are counted before the socket is closed"
        => "trunkline-transport reopen::what_a_wire_admits_after_its_abort_is_ambiguous"
    StuckPooled "stuck-pooled" "a connection goes back to the pool with an unfinished write"
        => "trunkline-transport rows::an_early_413_with_writes_blocked_is_rejected"
}

impl Mutation {
    /// Whether this process runs with it.
    pub fn is_on(self) -> bool {
        CHOSEN.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default()) == self.name()
    }

    /// The fault of this process.
    pub fn chosen() -> Option<Self> {
        Self::ALL.iter().copied().find(|mutation| mutation.is_on())
    }
}

//! What each client of the run does, and in what world.

use std::num::NonZeroU32;
use std::time::Duration;

use trunkline_simulator::Faults;

/// How late a create may arrive at the server after its first byte was allowed to leave: threads of a loaded machine wait for a core.
pub(super) const ARRIVAL: Duration = Duration::from_millis(450);

/// The client's own tolerance.
pub(super) const TOLERANCE: Duration = Duration::from_millis(50);

/// One client, or several one after the other on one journal, and its servers.
#[derive(Debug)]
pub struct Plan {
    /// Said in a failure.
    pub name: &'static str,
    /// How many calls.
    pub calls: usize,
    pub(super) seed: u64,
    /// Whether the provider honours idempotency keys, and the client knows.
    pub(super) keyed: bool,
    /// In a SQLite file instead of memory.
    pub(super) durable: bool,
    pub(super) accounts: usize,
    pub(super) per_second: NonZeroU32,
    pub(super) in_flight: NonZeroU32,
    pub(super) faults: Faults,
    /// So many times the client is shut down in mid-flight and another one goes on.
    pub(super) shutdowns: usize,
    /// Now and then the key changes; the old one is accepted a little longer.
    pub(super) rotates: bool,
    /// Now and then a 429 asks for a second of silence.
    pub(super) throttles: bool,
    /// For a third of the time the first account refuses everybody.
    pub(super) fails_over: bool,
}

/// Ten clients that share `calls` between them.
pub fn plans(calls: usize) -> Vec<Plan> {
    let mut hostile = Faults::hostile();
    // Each throttle silences the account for a second; they come by number instead.
    hostile.throttle = 0;
    hostile.slow_for = Duration::from_millis(60);
    let mut some = Faults::some();
    some.throttle = 0;
    let plain = |name, seed| Plan {
        name,
        calls: calls / 10,
        seed,
        keyed: false,
        durable: false,
        accounts: 1,
        per_second: NonZeroU32::MIN.saturating_add(399),
        in_flight: NonZeroU32::MIN.saturating_add(23),
        faults: hostile,
        shutdowns: 0,
        rotates: false,
        throttles: false,
        fails_over: false,
    };
    vec![
        Plan { faults: Faults::none(), ..plain("calm", 1) },
        plain("hostile", 2),
        Plan { keyed: true, ..plain("hostile, keys honoured", 3) },
        Plan { durable: true, ..plain("hostile, durable", 4) },
        Plan { durable: true, keyed: true, ..plain("hostile, durable, keys honoured", 5) },
        Plan { shutdowns: 4, ..plain("shut down", 6) },
        Plan { shutdowns: 4, durable: true, ..plain("shut down, durable", 7) },
        Plan { accounts: 2, fails_over: true, ..plain("two accounts", 8) },
        Plan { rotates: true, faults: some, ..plain("key rotation", 9) },
        Plan { throttles: true, faults: some, ..plain("throttles", 10) },
    ]
}

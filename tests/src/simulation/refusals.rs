//! Accounts that refuse every call: what a call held comes back with its answer, and a key that was refused is tried again once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, Client, Clock, Journal, NewCall, Order, Rate, SeededEntropy};
use trunkline_core_types::{EntropyExt, VirtualClock};
use trunkline_journal::MemoryJournal;

use super::Verdict;
use super::exchange::{Answer, Peer, PeerDial};
use crate::end::End;

/// Far longer than a run: a lease that is kept is missed.
const TTL: Duration = Duration::from_secs(24 * 3_600);
const TIMEOUT: Duration = Duration::from_secs(60);
/// Calls at once, more than may live.
const AT_ONCE: usize = 8;

/// Runs one seed with so many calls, the second half under a key that is refused, and says what was found.
///
/// # Panics
/// If no runtime can be built.
pub fn run(seed: u64, calls: usize) -> Verdict {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(VirtualClock::new());
        let refuser = Arc::new(Refuser::new(seed, clock.clone()));
        let live = NonZeroU32::MIN.saturating_add(refuser.below(4) as u32);
        let client = client(&refuser, live, seed);
        let (first, second) = (calls / 2, calls - calls / 2);
        let mut unanswered = place(&client, "plain", first).await;
        refuser.refuse_keys();
        unanswered += place(&client, "revoked", second).await;
        let left = client.shutdown(TIMEOUT).await.under_way as u64;
        // One version, so one repeat for each of those that were under way when it was dropped.
        let needless = refuser.unauthorised().saturating_sub(second as u64 + u64::from(live.get()));
        let mut verdict = Verdict { calls: calls as u64, ..Verdict::default() };
        (verdict.leaked_permits, verdict.misclassified) = (unanswered + left, needless);
        if !verdict.holds() {
            let words = format!(
                "{unanswered} calls got no answer where {live} may live and all are refused, {left} are under way, {needless} attempts under a refused key were needless"
            );
            verdict.problem = Some(format!("seed {seed}: {words}"));
        }
        verdict
    })
}

/// How many of these calls ended otherwise than with the provider's refusal.
async fn place(client: &Client, name: &str, calls: usize) -> u64 {
    let mut others = 0;
    for begin in (0..calls).step_by(AT_ONCE) {
        let some = (begin..calls.min(begin + AT_ONCE)).map(|number| async move {
            let call = NewCall::say("+14155550123", "hello").unwrap();
            let order = Order::new(call).key(&format!("{name}-{number}")).unwrap();
            End::of(&client.place(order.timeout(TIMEOUT)).await)
        });
        others += join_all(some).await.into_iter().filter(|end| *end != End::Rejected).count() as u64;
    }
    others
}

fn client(refuser: &Arc<Refuser>, live: NonZeroU32, seed: u64) -> Client {
    let keys = StaticKeys::new("key".into()).unwrap();
    let account = Account::new("main", ClaudeVoice::new("http://127.0.0.1:9").unwrap(), keys)
        .unwrap()
        .pace(Rate::per_second(NonZeroU32::MIN.saturating_add(49)))
        .live_calls(live, TTL)
        .dial(Arc::new(PeerDial(refuser.clone())));
    Client::builder(Journal::custom(Arc::new(MemoryJournal::new(refuser.clock.clone()))))
        .clock(refuser.clock.clone())
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .account(account)
        .build()
        .unwrap()
}

/// A provider that rings nobody.
#[derive(Debug)]
struct Refuser {
    entropy: SeededEntropy,
    clock: Arc<VirtualClock>,
    refuses_keys: AtomicBool,
    unauthorised: AtomicU64,
}

impl Refuser {
    fn new(seed: u64, clock: Arc<VirtualClock>) -> Self {
        let (refuses_keys, unauthorised) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { entropy: SeededEntropy::new(seed), clock, refuses_keys, unauthorised }
    }

    fn below(&self, bound: u64) -> u64 {
        self.entropy.below(bound)
    }

    /// From now on no key is good.
    fn refuse_keys(&self) {
        self.refuses_keys.store(true, Ordering::Relaxed);
    }

    /// Requests that were refused for their key.
    fn unauthorised(&self) -> u64 {
        self.unauthorised.load(Ordering::Relaxed)
    }
}

impl Peer for Refuser {
    fn connects(&self) -> bool {
        true
    }

    fn asked(&self, _: &str, _: Instant) -> Answer {
        let after = Duration::from_millis(self.below(300));
        let (status, kind) = match self.refuses_keys.load(Ordering::Relaxed) {
            true => (401, "authentication"),
            false => {
                [(400, "invalid_request"), (402, "billing"), (403, "permission")][self.below(3) as usize]
            }
        };
        self.unauthorised.fetch_add(u64::from(status == 401), Ordering::Relaxed);
        let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        Answer { after, text: Some(head + &body) }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn nothing_is_kept_and_nothing_needlessly_repeated() {
        for seed in 1..=4 {
            let verdict = run(seed, 100);
            assert!(verdict.holds(), "{}", verdict.problem.unwrap_or_default());
        }
    }
}

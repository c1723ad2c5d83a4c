//! Before the books are compared: what became of the calls whose outcome is not known.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use trunkline::{Client, Clock, E164, Finding, InputError, SystemClock};

use super::ledger::{Fate, Ledger, place};
use super::{PROCESSING, TOTAL, order, said};

/// How often the reconciler runs.
const INTERVAL: Duration = Duration::from_secs(1);
/// The most calls of one run.
const AT_ONCE: usize = 10_000;

/// Runs the reconciler until nothing is open, or until the last call's time came and a little more passed. Calls that were not placed have
/// their keys freed, since the simulator's delays are known; nobody dials them again.
pub(super) async fn settle(
    client: &Client,
    ledger: &mut Ledger,
    people: &[E164],
    clock: &SystemClock,
) -> Result<(), InputError> {
    let until = clock.now() + TOTAL + PROCESSING + 3 * INTERVAL;
    let reconciler = client.reconciler().free_proven_absent();
    let mut reports = pin!(reconciler.every(INTERVAL, AT_ONCE));
    while ledger.counts().ambiguous > 0 && clock.now() < until {
        let Some(report) = reports.next().await else { break };
        for (key, finding) in report.findings {
            match finding {
                Finding::ProvenAbsent => ledger.reconcile(&key, Fate::Unsent, None),
                Finding::Placed => {
                    let Some(to) = place(&key).and_then(|at| people.get(at)) else { continue };
                    // The settled key gives its answer, with the price, and rings nobody.
                    let answer = client.place(order(key.clone(), *to, said()?)).await.ok();
                    let cost = answer.and_then(|placed| placed.call).and_then(|call| call.cost);
                    ledger.reconcile(&key, Fate::Placed, cost);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

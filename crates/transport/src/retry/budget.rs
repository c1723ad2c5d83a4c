//! The retry budget of an account: when everything fails, repeats stop before they add to the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trunkline_core_types::InputError;

use super::cause::Cause;

/// What repeats cost. Plain data; the defaults are those of the AWS SDKs' standard mode 2.1, and of both presets here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Tokens at the start, and the most there can be. Default 500: with nothing but failures 35 repeats.
    pub tokens: u32,
    /// What a repeat costs. Default 14.
    pub retry: u32,
    /// What a repeat after a throttle costs. Default 5.
    pub throttle: u32,
    /// What a repeat after a timeout costs. Default 14.
    pub timeout: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { tokens: 500, retry: 14, throttle: 5, timeout: 14 }
    }
}

impl BudgetSettings {
    /// Checks that every value can work.
    ///
    /// # Errors
    /// [`InputError`] naming the setting.
    pub fn check(&self) -> Result<(), InputError> {
        let costs = [("retry", self.retry), ("throttle", self.throttle), ("timeout", self.timeout)];
        match costs.into_iter().find(|(_, cost)| *cost > 1_000_000) {
            None => Ok(()),
            Some((field, cost)) => {
                Err(InputError::new(field, format!("a repeat may cost at most 1000000; got {cost}")))
            }
        }
    }
}

/// The tokens of one account, shared by its calls; cheap to clone.
///
/// A repeat pays its cost, or is not made and pays nothing. A success gives back what the last repeat before it cost, a success without
/// a repeat 1; a failure gives nothing back. A repeat whose future is dropped in the pause before it was not made. What our own side
/// held back (no permit, no key, a dead pooled connection) costs nothing.
#[derive(Debug, Clone)]
pub struct RetryBudget(Arc<Tank>);

#[derive(Debug)]
struct Tank {
    settings: BudgetSettings,
    left: AtomicU32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(BudgetSettings::default())
    }
}

impl RetryBudget {
    /// A full budget.
    pub fn new(settings: BudgetSettings) -> Self {
        let left = AtomicU32::new(settings.tokens);
        Self(Arc::new(Tank { settings, left }))
    }

    /// Tokens left.
    pub fn left(&self) -> u32 {
        self.0.left.load(Ordering::Relaxed)
    }

    fn cost(&self, cause: Cause) -> u32 {
        let BudgetSettings { retry, throttle, timeout, .. } = self.0.settings;
        match cause {
            Cause::Throttle => throttle,
            Cause::Timeout => timeout,
            Cause::Other => retry,
            Cause::Local => 0,
        }
    }

    /// Pays for one repeat, or takes nothing.
    pub(super) fn pay(&self, cause: Cause) -> Option<Payment> {
        let cost = self.cost(cause);
        let take = |left: u32| left.checked_sub(cost);
        self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Payment { budget: self.clone(), cost })
    }

    /// A success; `last` is the cost of the last repeat before it, if one was paid for. True if it changed anything.
    pub(super) fn reward(&self, last: Option<u32>) -> bool {
        self.give_back(last.unwrap_or(1))
    }

    fn give_back(&self, tokens: u32) -> bool {
        let max = self.0.settings.tokens;
        let fill = |left: u32| (left < max && tokens > 0).then(|| left.saturating_add(tokens).min(max));
        self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill).is_ok()
    }
}

/// A repeat that is paid for and not yet made; dropped, it is paid back.
#[derive(Debug)]
pub(super) struct Payment {
    budget: RetryBudget,
    cost: u32,
}

impl Payment {
    /// The repeat is made.
    pub(super) fn spend(mut self) -> u32 {
        std::mem::take(&mut self.cost)
    }
}

impl Drop for Payment {
    fn drop(&mut self) {
        self.budget.give_back(self.cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn with_nothing_but_failures_35_repeats_are_made() {
        let budget = RetryBudget::default();
        let made = (0..1000).map_while(|_| budget.pay(Cause::Other).map(Payment::spend)).count();
        assert_eq!((made, budget.left()), (35, 10));
        // What costs nothing, or less than is left, can still be paid.
        assert_eq!(budget.pay(Cause::Local).map(Payment::spend), Some(0));
        assert_eq!(budget.pay(Cause::Throttle).map(Payment::spend), Some(5));
        assert_eq!(budget.left(), 5);
    }

    #[test]
    fn a_repeat_that_was_not_made_is_paid_back() {
        let budget = RetryBudget::default();
        let payment = budget.pay(Cause::Timeout);
        assert_eq!(budget.left(), 486);
        drop(payment);
        assert_eq!(budget.left(), 500);
    }

    const CAUSES: [Cause; 4] = [Cause::Throttle, Cause::Timeout, Cause::Local, Cause::Other];

    proptest! {
        #[test]
        fn never_above_the_maximum_and_never_lost(
            max in 0u32..200,
            steps in prop::collection::vec((0u32..4, 0usize..4), 0..80),
        ) {
            let budget = RetryBudget::new(BudgetSettings { tokens: max, ..BudgetSettings::default() });
            let mut model = max;
            for (step, cause) in steps {
                let cost = [5, 14, 0, 14][cause];
                match step {
                    0 => {
                        let paid = budget.pay(CAUSES[cause]).map(Payment::spend);
                        prop_assert_eq!(paid, (model >= cost).then_some(cost));
                        model -= paid.unwrap_or(0);
                    }
                    1 => drop(budget.pay(CAUSES[cause])),
                    2 => { budget.reward(Some(cost)); model = (model + cost).min(max); }
                    _ => { budget.reward(None); model = (model + 1).min(max); }
                }
                prop_assert_eq!(budget.left(), model);
            }
        }
    }
}

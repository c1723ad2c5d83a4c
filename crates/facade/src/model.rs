//! What the loom models share: the search itself.

/// Runs `model` under every interleaving with at most three preemptions. A wake-up that is lost is reported as a deadlock.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut search = loom::model::Builder::new();
    search.preemption_bound = search.preemption_bound.or(Some(3));
    search.check(model);
}

//! The mutations of this build; without `--cfg trunkline_mutation` there are none.

#[cfg(trunkline_mutation)]
pub(crate) use trunkline_core_types::VARIABLE;

#[cfg(not(trunkline_mutation))]
pub(crate) const VARIABLE: &str = "TRUNKLINE_MUTATION";

/// The code with one mutation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    /// Empty for the code as it is.
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The test that finds it, where the simulation cannot.
    pub(crate) test: Option<&'static str>,
}

/// The code as it is, and with each mutation.
pub(crate) fn all() -> Vec<Mutant> {
    let mut all = vec![Mutant { name: "", what: "the code as it is", test: None }];
    all.extend(built_in());
    all
}

#[cfg(trunkline_mutation)]
fn built_in() -> impl Iterator<Item = Mutant> {
    use trunkline_core_types::Mutation;
    Mutation::ALL.iter().map(|it| Mutant { name: it.name(), what: it.what(), test: it.test() })
}

#[cfg(not(trunkline_mutation))]
fn built_in() -> impl Iterator<Item = Mutant> {
    std::iter::empty()
}

//! Crates that promise not to pull something in, and do not.

use super::finding::Finding;
use super::tree::{self, Package};
use super::workspace::Workspace;
use anyhow::Result;
use std::collections::BTreeSet;

/// Package, and what its own tree with default features must not hold. A name that ends in `*` is a prefix.
const PROMISES: [(&str, &[&str]); 4] = [
    ("trunkline-core-types", &["tokio", "hyper", "reqwest"]),
    ("trunkline", &["vaultrs", "redis", "aws-sdk*", "aws-config"]),
    ("trunkline-transport", &["reqwest", "tower", "tower-service"]),
    ("trunkline-ratelimit", &["http", "hyper", "rust_decimal"]),
];

pub(crate) fn check(_: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (package, banned) in PROMISES {
        findings.extend(broken(package, banned, &tree::packages(&["-p", package, "-e", "normal"])?));
    }
    Ok(findings)
}

fn broken(package: &str, banned: &[&str], found: &BTreeSet<Package>) -> Vec<Finding> {
    let is = |found: &Package, banned: &str| match banned.strip_suffix('*') {
        Some(prefix) => found.name.starts_with(prefix),
        None => found.is(banned),
    };
    let found = found.iter().filter(|found| banned.iter().any(|banned| is(found, banned)));
    found
        .map(|found| {
            let fix = format!(
                "put it behind a feature; `cargo tree -p {package} -e normal -i {}` shows the way in",
                found.name
            );
            Finding::new(package, format!("pulls in `{}`", found.name), fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_promised_away() {
        let found = tree::parse("trunkline v0.1.0\nhttp v1.4.0\naws-sdk-kms v1.129.0\n");
        assert_eq!(broken("trunkline", &["redis", "hyper"], &found), []);
        assert_eq!(broken("trunkline", &["http", "redis"], &found).len(), 1);
        assert_eq!(broken("trunkline", &["aws-sdk*"], &found).len(), 1);
    }
}

//! One TLS library, one crypto provider, one HTTP stack, on every target and with every feature.

use super::finding::Finding;
use super::tree::{self, Package};
use super::workspace::Workspace;
use anyhow::Result;
use std::collections::BTreeSet;

const BANNED: [&str; 7] =
    ["ring", "openssl-sys", "native-tls", "hyper@0.14", "http@0.2", "rustls@0.21", "reqwest@0.12"];

pub(crate) fn check(_: &Workspace) -> Result<Vec<Finding>> {
    let everything = ["--workspace", "--all-features", "--target", "all", "-e", "normal,build,dev"];
    Ok(second(&tree::packages(&everything)?))
}

fn second(found: &BTreeSet<Package>) -> Vec<Finding> {
    let found = found.iter().filter(|found| BANNED.iter().any(|banned| found.is(banned)));
    found
        .map(|Package { name, version }| {
            let way = format!("cargo tree --workspace --all-features --target all -i {name}@{version}");
            let fix = format!(
                "choose features of the dependency that use rustls 0.23 with aws-lc-rs; `{way}` shows it"
            );
            Finding::new("Cargo.lock", format!("`{name}` {version} is a second TLS or HTTP stack"), fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_one_stack() {
        assert_eq!(
            second(&tree::parse("rustls v0.23.46\nhyper v1.12.0\nhttp v1.4.2\nreqwest v0.13.5\n")),
            []
        );
    }

    #[test]
    fn refuses_a_second_one() {
        let listing = "ring v0.17.14\nrustls v0.21.12\nhyper v0.14.30\nhttp v0.2.12\nopenssl-sys v0.9.1\nnative-tls v0.2.1\nreqwest v0.12.9\n";
        assert_eq!(second(&tree::parse(listing)).len(), 7);
    }
}

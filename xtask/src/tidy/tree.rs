//! What `cargo tree` lists, as names and versions.

use crate::run;
use anyhow::Result;
use std::collections::BTreeSet;

/// Packages that a selection really compiles, sorted, each once.
///
/// The lock file is no source for this: it also names optional dependencies that nothing turns on.
pub(crate) fn packages(selection: &[&str]) -> Result<BTreeSet<Package>> {
    let mut tree = run::cargo();
    tree.args(["tree", "--prefix", "none", "--format", "{p}"]).args(selection);
    Ok(parse(&run::read(&mut tree)?))
}

/// One package, such as `hyper` and `1.12.0`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Package {
    /// Whether `banned` names it: `ring`, or `hyper@0.14` for that version and what follows it.
    pub(crate) fn is(&self, banned: &str) -> bool {
        let (name, version) = banned.split_once('@').unwrap_or((banned, ""));
        let rest = self.version.strip_prefix(version);
        self.name == name
            && rest.is_some_and(|rest| version.is_empty() || rest.is_empty() || rest.starts_with('.'))
    }
}

pub(crate) fn parse(listing: &str) -> BTreeSet<Package> {
    listing.lines().filter_map(package).collect()
}

fn package(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some(Package { name: name.to_owned(), version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_versions_once_each() {
        let listing = "trunkline v0.1.0 (/src/crates/facade)\nhttp v1.4.2\nsyn v2.0.1 (proc-macro) (*)\n\nhttp v1.4.2 (*)\nserde feature \"std\"\n";
        let names: Vec<_> = parse(listing).into_iter().map(|found| (found.name, found.version)).collect();
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(names, [pair("http", "1.4.2"), pair("syn", "2.0.1"), pair("trunkline", "0.1.0")]);
    }

    #[test]
    fn a_version_bans_only_that_line() {
        let hyper = |version: &str| Package { name: "hyper".into(), version: version.into() };
        assert!(hyper("0.14.30").is("hyper@0.14") && hyper("0.14.30").is("hyper"));
        assert!(!hyper("0.140.0").is("hyper@0.14") && !hyper("1.12.0").is("hyper@0.14"));
        assert!(!hyper("1.12.0").is("hyper-util"));
    }
}

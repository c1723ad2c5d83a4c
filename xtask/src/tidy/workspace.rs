//! What the checks look at: members, manifests and sources, read once.

use crate::{files, run};
use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use std::path::PathBuf;

/// The work tree as the checks see it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) members: Vec<Member>,
    pub(crate) sources: Vec<Source>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Folder below the root, such as `crates/transport`.
    pub(crate) folder: String,
    pub(crate) name: String,
    /// Whether it goes to a registry.
    pub(crate) published: bool,
    pub(crate) manifest: toml::Table,
    /// Folders of the members that it depends on, tests aside.
    pub(crate) needs: Vec<String>,
    pub(crate) has_readme: bool,
}

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path below the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Reads the work tree.
    pub(crate) fn load() -> Result<Self> {
        let root = run::root();
        let metadata = MetadataCommand::new().current_dir(&root).exec().context("`cargo metadata` failed")?;
        let members = metadata.workspace_packages();
        let members = members.into_iter().map(|package| member(package, &metadata)).collect::<Result<_>>()?;
        let mut sources = Vec::new();
        for folder in ["crates", "tests", "xtask"] {
            for file in files::below(&root.join(folder), "rs")? {
                let path = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().replace('\\', "/");
                sources.push(Source { path, text: files::read(&file)? });
            }
        }
        Ok(Self { root, members, sources })
    }

    /// The text of a file at `path` below the root.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        files::read(&self.root.join(path))
    }
}

fn member(package: &Package, metadata: &Metadata) -> Result<Member> {
    let manifest = files::read(package.manifest_path.as_std_path())?;
    let normal = package
        .dependencies
        .iter()
        .filter(|dependency| !matches!(dependency.kind, cargo_metadata::DependencyKind::Development));
    let needs = normal.filter_map(|dependency| {
        let target = metadata.workspace_packages().into_iter().find(|other| other.name == dependency.name)?;
        dependency.path.as_ref().map(|_| folder(target, metadata))
    });
    Ok(Member {
        folder: folder(package, metadata),
        name: package.name.to_string(),
        published: package.publish.is_none(),
        manifest: manifest.parse().with_context(|| format!("cannot parse {}", package.manifest_path))?,
        needs: needs.collect(),
        has_readme: package.manifest_path.with_file_name("README.md").is_file(),
    })
}

fn folder(package: &Package, metadata: &Metadata) -> String {
    let dir = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    dir.strip_prefix(&metadata.workspace_root).unwrap_or(dir).as_str().replace('\\', "/")
}

#[cfg(test)]
impl Member {
    /// A member named `trunkline-<last part of folder>` with this manifest.
    pub(crate) fn sample(folder: &str, manifest: &str) -> Self {
        let last = folder.rsplit('/').next().unwrap_or(folder);
        Self {
            folder: folder.to_owned(),
            name: format!("trunkline-{last}"),
            published: true,
            manifest: manifest.parse().unwrap(),
            needs: Vec::new(),
            has_readme: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_this_workspace() {
        let workspace = Workspace::load().unwrap();
        let facade = workspace.members.iter().find(|member| member.folder == "crates/facade").unwrap();
        assert!(facade.published && facade.has_readme);
        assert!(facade.needs.contains(&"crates/core-types".to_owned()), "{:?}", facade.needs);
        assert!(!facade.needs.contains(&"crates/simulator".to_owned()), "a dev edge is no edge");
        let xtask = workspace.members.iter().find(|member| member.folder == "xtask").unwrap();
        assert!(!xtask.published && xtask.needs.is_empty());
        assert!(workspace.sources.iter().any(|source| source.path == "xtask/src/tidy/workspace.rs"));
    }
}

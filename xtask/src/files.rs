//! Files of the work tree, in a stable order.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below `dir` whose name ends in `.ext`, sorted; build folders and hidden folders are left out.
pub(crate) fn below(dir: &Path, ext: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name();
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == ext) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file; the error names it.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_sources_sorted_and_leaves_build_folders_out() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = below(here, "rs").unwrap();
        assert!(found.contains(&here.join("src/files.rs")));
        assert!(found.is_sorted());
        assert_eq!(below(here, "no-such-extension").unwrap(), Vec::<PathBuf>::new());
    }
}

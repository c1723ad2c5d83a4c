//! A folder of this process that is gone afterwards, also when the test fails.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: u64) -> Self {
        let path = std::env::temp_dir().join(format!("trunkline-threads-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One that cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

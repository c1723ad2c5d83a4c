//! The suites that every store passes.

use std::sync::{Arc, Mutex};

use trunkline_core_types::AttemptJournal;
use trunkline_journal::{SqliteJournal, conformance};

use crate::support::{Folder, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_the_conformance_suite() {
    let folders = Mutex::new(Vec::new());
    conformance::all(|| {
        let folder = Folder::new();
        let journal = Arc::new(folder.open());
        folders.lock().unwrap().push(folder);
        journal
    })
    .await;
}

#[tokio::test]
async fn outlives_its_process() {
    let folders = Mutex::new(Vec::new());
    conformance::durable(|| {
        let folder = Folder::new();
        let file = folder.file();
        folders.lock().unwrap().push(folder);
        move || Arc::new(SqliteJournal::open(&file, settings()).unwrap()) as Arc<dyn AttemptJournal>
    })
    .await;
}

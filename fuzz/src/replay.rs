//! The kept corpus as a plain test: no libFuzzer, any toolchain.

use std::fs;
use std::path::Path;

/// Most files of a target's corpus, and most bytes of them together.
const MOST: (usize, u64) = (60, 100 * 1024);

macro_rules! targets {
    ($($target:ident)*) => {
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($target), crate::$target::check)),*];
    };
}

targets!(callback exchange heard_rows journal_rows listing proxy record reply retry_after rows settings_file signature words);

#[test]
fn every_kept_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in TARGETS {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(
            (1..=MOST.0).contains(&files.len()) && bytes <= MOST.1,
            "{name}: {} files, {bytes} bytes",
            files.len()
        );
        for file in files {
            // The file's name is the message: the panic of the check says what did not hold.
            let input = fs::read(&file).unwrap();
            let held = std::panic::catch_unwind(|| check(&input));
            assert!(held.is_ok(), "{}", file.display());
        }
    }
}

/// A target without its line above, or without its binary, is never run.
#[test]
fn every_target_is_listed_and_has_its_binary() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> = fs::read_dir(here.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

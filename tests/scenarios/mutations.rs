//! Every mutation of the code is found, and the code as it is has none; in a build without them, that the run says so.

use std::process::Command;

/// Prints the table, so that a failure shows it.
#[cfg(trunkline_mutation)]
#[test]
fn the_simulation_finds_every_mutation() {
    let output = Command::new(env!("CARGO_BIN_EXE_mutations")).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[cfg(not(trunkline_mutation))]
#[test]
fn a_build_without_mutations_says_how_to_get_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_mutations")).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo xtask simulate --mutations"));
}

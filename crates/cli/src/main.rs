//! The trunkline command line.

fn main() {}

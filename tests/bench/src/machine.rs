//! What the numbers were measured on: no host name, no path, no user.

use std::fs;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// Processor, cores and kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    os: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split(':').nth(1)).map_or("unknown", str::trim).to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // Only the version: what follows is the builder's own name.
        let version = kernel.split(['-', '+', '\n']).next().unwrap_or_default();
        Self { cpu, cores: cores(), os: format!("{} {version}", std::env::consts::OS) }
    }
}

/// Processors this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Load averages over 1, 5 and 15 minutes, as the kernel writes them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Keeps this process on one processor, if there are two.
pub(crate) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if cores() > 1 && set.set(cpu).is_ok() {
        // A container may forbid it; the numbers are then noisier.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

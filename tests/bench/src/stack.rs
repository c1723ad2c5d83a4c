//! The stack without I/O: what a call costs in each layer, added one by one, and `place` as a whole over a wire in memory.

mod cpu;
mod layers;
mod memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use criterion::{BatchSize, Criterion, Throughput};
use serde_json::Value;
use trunkline::Client;

use crate::contenders::{Contender, Full, OurBare, account, client};
use crate::report::{Group, Table};
use cpu::CpuTime;
use layers::{Bench, Depth};
pub(crate) use memory::MemoryDial;

const BASE: &str = "http://127.0.0.1:9";
/// Calls prepared at once before they are timed, about as many as are under way in a busy process.
const BATCH: BatchSize = BatchSize::NumIterations(64);

/// Runs criterion and adds its medians as two tables.
pub(crate) fn measure(folder: &Path, group: &mut Group) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime {})
        .output_directory(folder)
        .without_plots()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let bench = Bench::new(&runtime)?;
    for depth in Depth::ALL {
        stack(&mut criterion, &bench, depth)?;
    }
    let (bare, full) = (OurBare::with(BASE, Some(Arc::new(MemoryDial::default())))?, in_memory()?);
    runtime.block_on(bare.call())?;
    runtime.block_on(full.call())?;
    whole(&mut criterion, "wire-bare", &bare);
    whole(&mut criterion, "wire-place", &full);
    stack_table(folder, group)?;
    wire_table(folder, group)
}

fn in_memory() -> Result<Full> {
    let client: Client = client(account(BASE)?.dial(Arc::new(MemoryDial::default())))?;
    Ok(Full::of(client))
}

fn stack(criterion: &mut Criterion<CpuTime>, bench: &Bench, depth: Depth) -> Result<()> {
    let stack = bench.stack(depth)?;
    ensure!(bench.call(depth, &*stack, bench.input()), "{} places nothing", depth.name());
    let mut group = criterion.benchmark_group("stack");
    group.throughput(Throughput::Elements(1));
    group.bench_function(depth.id(), |timed| {
        timed.iter_batched(|| bench.input(), |input| bench.call(depth, &*stack, input), BATCH);
    });
    group.finish();
    Ok(())
}

/// Places calls over a wire in memory: something to run under a profiler.
pub(crate) fn repeat(calls: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let full = in_memory()?;
    runtime.block_on(full.call())?;
    (0..calls).try_for_each(|_| spin(full.call()))
}

/// The whole client, polled until it is done: nothing else runs, so no waker is needed.
fn whole(criterion: &mut Criterion<CpuTime>, id: &str, client: &impl Contender) {
    let mut group = criterion.benchmark_group("stack");
    group.throughput(Throughput::Elements(1));
    group.bench_function(id, |timed| timed.iter(|| spin(client.call()).is_ok()));
    group.finish();
}

fn spin<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Poller::from_waker(Waker::noop())) {
            return done;
        }
    }
}

fn stack_table(folder: &Path, group: &mut Group) -> Result<()> {
    let columns = ["a call through", "us", "added", "low", "high"];
    let mut table = Table::new("stack without I/O, layers added one by one", &columns);
    let (mut before, mut named) = (None, 0.0);
    for depth in Depth::ALL {
        let [median, low, high] = estimate(folder, depth.id())?;
        table.row(depth.name(), [median, median - before.unwrap_or(median), low, high]);
        before = Some(median);
        if depth == Depth::Parse {
            named = median;
        }
    }
    group.add(table);
    group.at_most("signed, paced, noted, measured and read without I/O, us a call", 2.0, named);
    Ok(())
}

fn wire_table(folder: &Path, group: &mut Group) -> Result<()> {
    let mut table =
        Table::new("over a wire in memory, hyper's HTTP/1.1 included", &["client", "us", "low", "high"]);
    let (bare, place) = (estimate(folder, "wire-bare")?, estimate(folder, "wire-place")?);
    table.row("HttpClient, bare", bare);
    table.row("Client::place, full stack", place);
    table.row("difference: all layers, build, claim, parse", [place[0] - bare[0], f64::NAN, f64::NAN]);
    group.add(table);
    Ok(())
}

/// Criterion's median and its confidence interval, in microseconds.
fn estimate(folder: &Path, id: &str) -> Result<[f64; 3]> {
    let file: PathBuf = folder.join("stack").join(id).join("new/estimates.json");
    let text = fs::read_to_string(&file).with_context(|| format!("criterion wrote no {}", file.display()))?;
    let estimates: Value = serde_json::from_str(&text)?;
    let median = &estimates["median"];
    let interval = &median["confidence_interval"];
    let numbers = [&median["point_estimate"], &interval["lower_bound"], &interval["upper_bound"]];
    let numbers = numbers.map(|number| number.as_f64().unwrap_or(f64::NAN) / 1e3);
    ensure!(numbers[0].is_finite(), "criterion's {id} has no median");
    Ok(numbers)
}
